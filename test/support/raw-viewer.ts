import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import type { StreamGap } from '../../gen/computesdk/v1/stream_pb.ts';
import {
  AttachTerminalRequestSchema,
  type AttachTerminalResponse,
  AttachTerminalResponseSchema,
} from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { terminalClient } from './clients.ts';
import type { KnownOutput } from './known-output.ts';
import { within } from './until.ts';
import { openViewerLine, type ViewerLine } from './viewer-line.ts';

export type RawViewerOptions = {
  readonly sandboxUrl: string;
  readonly token: string;
  readonly transport: TransportKind;
  readonly terminalId: string;
  /** What the program prints, to compare every byte with. */
  readonly known: KnownOutput;
  readonly acknowledges: boolean;
  /** Where an earlier viewer stopped. */
  readonly resume?: {
    readonly cursor: number;
    readonly readerId: string;
    readonly incarnation: string;
  };
};

/** How much is read between two acknowledgements: as much as the SDK reads. */
const ACKNOWLEDGE_BYTES = 128 * 1024;

/** One attach call over a connection of its own, without any help of the SDK: it stalls and vanishes when told. */
export class RawViewer {
  /** Position after the last byte that was taken. */
  cursor = 0;
  incarnation = '';
  readerId = '';
  readonly gaps: StreamGap[] = [];
  /** Positions of pieces that are not what the program printed there, or not where the last one ended. */
  readonly wrong: number[] = [];
  /** Whether `exited` came. */
  hasExited = false;
  readonly #options: RawViewerOptions;
  #line: ViewerLine | undefined;
  #onReady: () => void = () => {};
  #acknowledged = 0;
  #acknowledging: Promise<void> | undefined;

  private constructor(options: RawViewerOptions) {
    this.#options = options;
    this.cursor = options.resume?.cursor ?? 0;
    this.#acknowledged = this.cursor;
  }

  /** Resolves when the stream has brought its first message, or ended. */
  static async attach(options: RawViewerOptions): Promise<RawViewer> {
    const { resume, sandboxUrl, token, transport } = options;
    const message = toBinary(
      AttachTerminalRequestSchema,
      create(AttachTerminalRequestSchema, {
        terminalId: options.terminalId,
        acknowledges: options.acknowledges,
        lease: durationFromMs(30_000),
        ...(resume && { ...resume, cursor: BigInt(resume.cursor) }),
      }),
    );
    const viewer = new RawViewer(options);
    const isReady = new Promise<void>((resolve) => {
      viewer.#onReady = resolve;
    });
    viewer.#line = await openViewerLine({
      ...{ sandboxUrl, token, transport, message },
      onMessage: (data) => viewer.#onEvent(fromBinary(AttachTerminalResponseSchema, data).event),
    });
    await Promise.race([isReady, viewer.closed]);
    return viewer;
  }

  /** Resolves when nothing more comes: the stream ended, or the connection broke. */
  get closed(): Promise<void> {
    return this.#connected.closed;
  }

  /** What the next viewer needs to go on as the same reader. */
  get resume(): { cursor: number; readerId: string; incarnation: string } {
    return { cursor: this.cursor, readerId: this.readerId, incarnation: this.incarnation };
  }

  /** Takes nothing more from the socket. */
  stall(): void {
    this.#connected.stall();
  }

  /** Reads again. */
  go(): void {
    this.#connected.go();
  }

  /** Breaks the connection with a reset, as a network that is gone does. */
  vanish(): void {
    this.#connected.vanish();
  }

  /** Resolves when the program's exit came. */
  async exited(withinMs: number): Promise<void> {
    await within(this.closed, { what: `the end of the output (at ${this.cursor})`, withinMs });
    await this.#acknowledging;
    if (!this.hasExited)
      throw new Error(`the stream ended early at ${this.cursor}: ${this.#connected.endOfStream}`);
  }

  get #connected(): ViewerLine {
    if (!this.#line) throw new Error('the viewer is not attached yet');
    return this.#line;
  }

  #onEvent(event: AttachTerminalResponse['event']): void {
    switch (event.case) {
      case 'ready':
        ({ incarnation: this.incarnation, readerId: this.readerId } = event.value);
        this.#onReady();
        break;
      case 'gap':
        this.gaps.push(event.value);
        if (Number(event.value.from) !== this.cursor) this.wrong.push(this.cursor);
        this.cursor = Number(event.value.to);
        break;
      case 'output':
        this.#onOutput(Number(event.value.cursor), event.value.data);
        break;
      case 'exited':
        this.hasExited = true;
        if (Number(event.value.cursor) !== this.cursor) this.wrong.push(this.cursor);
        break;
      default:
        break;
    }
  }

  #onOutput(from: number, data: Uint8Array): void {
    const to = from + data.length;
    if (from !== this.cursor || !this.#options.known.slice(from, to).equals(data))
      this.wrong.push(from);
    this.cursor = to;
    if (!this.#options.acknowledges) return;
    this.#acknowledging ??= this.#acknowledge().finally(() => {
      this.#acknowledging = undefined;
    });
  }

  /** One acknowledgement at a time, with the newest position: there may be megabytes to read at once. */
  async #acknowledge(): Promise<void> {
    const { sandboxUrl, token, terminalId } = this.#options;
    const client = terminalClient(sandboxUrl, token);
    while (this.cursor - this.#acknowledged >= ACKNOWLEDGE_BYTES) {
      this.#acknowledged = this.cursor;
      const position = { terminalId, readerId: this.readerId, cursor: BigInt(this.cursor) };
      try {
        await client.acknowledgeTerminal(position);
      } catch {
        // The reader may be gone: who was closed for slowness still reads what was under way.
      }
    }
  }
}
