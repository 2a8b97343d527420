import { type IncomingMessage, request } from 'node:http';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import type { StreamGap } from '../../gen/computesdk/v1/stream_pb.ts';
import {
  AttachTerminalRequestSchema,
  type AttachTerminalResponse,
  AttachTerminalResponseSchema,
} from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { terminalClient } from './clients.ts';
import type { KnownOutput } from './known-output.ts';
import { within } from './until.ts';

export type RawViewerOptions = {
  readonly sandboxUrl: string;
  readonly token: string;
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

/** How much is read between two acknowledgements. */
const ACKNOWLEDGE_BYTES = 64 * 1024;
const END_STREAM_FLAG = 2;

/** One attach call over a socket of its own, without any help of the SDK: it stalls and vanishes when told. */
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
  /** The end of the call as Connect says it, once it came. */
  endOfStream = '';
  /** Resolves when nothing more comes: the stream ended, or the connection broke. */
  readonly closed: Promise<void>;
  readonly #options: RawViewerOptions;
  readonly #response: IncomingMessage;
  #pending = Buffer.alloc(0);
  #acknowledged = 0;
  #acknowledging: Promise<void> | undefined;

  private constructor(options: RawViewerOptions, response: IncomingMessage) {
    this.#options = options;
    this.#response = response;
    this.cursor = options.resume?.cursor ?? 0;
    this.#acknowledged = this.cursor;
    this.closed = new Promise((resolve) => response.once('close', resolve));
    response.on('error', () => {});
    response.on('data', (bytes: Buffer) => this.#take(bytes));
  }

  /** Resolves when the server has answered. */
  static async attach(options: RawViewerOptions): Promise<RawViewer> {
    const { resume } = options;
    const message = toBinary(
      AttachTerminalRequestSchema,
      create(AttachTerminalRequestSchema, {
        terminalId: options.terminalId,
        acknowledges: options.acknowledges,
        lease: durationFromMs(30_000),
        ...(resume && { ...resume, cursor: BigInt(resume.cursor) }),
      }),
    );
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    const url = `${options.sandboxUrl}/computesdk.v1.TerminalService/AttachTerminal`;
    const headers = {
      'content-type': 'application/connect+proto',
      'connect-protocol-version': '1',
      authorization: `Bearer ${options.token}`,
    };
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request(url, { method: 'POST', headers, agent: false }, resolve);
      call.on('error', reject);
      call.end(Buffer.concat([prefix, message]));
    });
    if (response.statusCode !== 200) throw new Error(`attach answered ${response.statusCode}`);
    return new RawViewer(options, response);
  }

  /** What the next viewer needs to go on as the same reader. */
  get resume(): { cursor: number; readerId: string; incarnation: string } {
    return { cursor: this.cursor, readerId: this.readerId, incarnation: this.incarnation };
  }

  /** Takes nothing more from the socket. */
  stall(): void {
    this.#response.pause();
  }

  /** Reads again. */
  go(): void {
    this.#response.resume();
  }

  /** Breaks the connection with a reset, as a network that is gone does. */
  vanish(): void {
    this.#response.socket.resetAndDestroy();
  }

  /** Resolves when the program's exit came. */
  async exited(withinMs: number): Promise<void> {
    await within(this.closed, { what: `the end of the output (at ${this.cursor})`, withinMs });
    await this.#acknowledging;
    if (!this.hasExited)
      throw new Error(`the stream ended early at ${this.cursor}: ${this.endOfStream}`);
  }

  #take(bytes: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
    while (this.#pending.length >= 5) {
      const length = this.#pending.readUInt32BE(1);
      if (this.#pending.length < 5 + length) return;
      const data = this.#pending.subarray(5, 5 + length);
      if (this.#pending[0] === END_STREAM_FLAG) this.endOfStream = data.toString();
      else this.#onEvent(fromBinary(AttachTerminalResponseSchema, data).event);
      this.#pending = this.#pending.subarray(5 + length);
    }
  }

  #onEvent(event: AttachTerminalResponse['event']): void {
    switch (event.case) {
      case 'ready':
        ({ incarnation: this.incarnation, readerId: this.readerId } = event.value);
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
