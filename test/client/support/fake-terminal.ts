import { create, type MessageInitShape } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import type { Clock } from '../../../client/connection/clock.ts';
import { ErrorDetailSchema, ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { GapReason } from '../../../gen/computesdk/v1/stream_pb.ts';
import type {
  AttachTerminalRequest,
  AttachTerminalResponseSchema,
} from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import { News } from './news.ts';

type Message = MessageInitShape<typeof AttachTerminalResponseSchema>;
type Writer = { next: number; held: Map<number, { data: Uint8Array; apply: () => void }> };

const PIECE_BYTES = 1_000;

/** A typed refusal, as the server sends it. */
export function refusal(code: Code, reason: ErrorReason, message = 'refused'): ConnectError {
  const error = new ConnectError(message, code);
  error.details.push({ desc: ErrorDetailSchema, value: create(ErrorDetailSchema, { reason }) });
  return error;
}

/** A terminal without a program: a test prints into it and looks at what was typed. */
export class FakeTerminal {
  readonly id: string;
  incarnation = 'life-1';
  /** Everything that was typed, in the order in which it was applied. */
  readonly typed: Uint8Array[] = [];
  readonly acknowledged: number[] = [];
  readonly attaches: AttachTerminalRequest[] = [];
  /** Suppressed repetitions of numbered input. */
  duplicates = 0;
  detached = 0;
  exit: { exitCode?: number; signal?: string } | undefined;
  /** Refuses every attach and write with this. */
  failure: ConnectError | undefined;
  /** Repeats this many bytes before the cursor at every attach. */
  overlapBytes = 0;
  /** Deliberate defect: applies repeated input again. */
  appliesDuplicates = false;
  readonly #news: News;
  readonly #writers = new Map<string, Writer>();
  #log = new Uint8Array(0);
  /** Position of the first byte still held. */
  #start = 0;
  #issued = 0;

  constructor(id: string, clock: Clock) {
    this.id = id;
    this.#news = new News(clock);
  }

  get end(): number {
    return this.#start + this.#log.byteLength;
  }

  get typedText(): string {
    return this.typed.map((data) => new TextDecoder().decode(data)).join('');
  }

  print(output: string | Uint8Array): void {
    const bytes = typeof output === 'string' ? new TextEncoder().encode(output) : output;
    const log = new Uint8Array(this.#log.byteLength + bytes.byteLength);
    log.set(this.#log);
    log.set(bytes, this.#log.byteLength);
    this.#log = log;
    this.#news.tell();
  }

  evict(bytes: number): void {
    this.#log = this.#log.slice(bytes);
    this.#start += bytes;
  }

  finish(exit: { exitCode?: number; signal?: string }): void {
    this.exit = exit;
    this.#news.tell();
  }

  fail(failure: ConnectError): void {
    this.failure = failure;
    this.#news.tell();
  }

  newWriter(): string {
    this.#issued += 1;
    const id = `wrt-${this.#issued}`;
    this.#writers.set(id, { next: 1, held: new Map() });
    return id;
  }

  forgetWriters(): void {
    this.#writers.clear();
  }

  async write(writerId: string, sequence: number, data: Uint8Array): Promise<boolean> {
    if (this.failure) throw this.failure;
    if (this.exit) throw refusal(Code.FailedPrecondition, ErrorReason.EXITED);
    const writer = this.#writers.get(writerId);
    if (!writer) throw refusal(Code.FailedPrecondition, ErrorReason.WRITER_EXPIRED);
    if (sequence < writer.next) {
      this.duplicates += 1;
      if (this.appliesDuplicates) this.typed.push(data);
      return true;
    }
    if (sequence > writer.next) {
      await new Promise<void>((apply) => writer.held.set(sequence, { data, apply }));
      return false;
    }
    this.#apply(writer, data);
    return false;
  }

  async *attach(request: AttachTerminalRequest, signal: AbortSignal): AsyncGenerator<Message> {
    this.attaches.push(request);
    if (this.failure) throw this.failure;
    let at = Number(request.cursor ?? 0n);
    if (at > this.end) throw refusal(Code.OutOfRange, ErrorReason.CURSOR_OUT_OF_RANGE);
    at = Math.max(Math.min(at, this.#start), at - this.overlapBytes, 0);
    yield { event: { case: 'ready', value: this.#ready(request, at) } };
    for (;;) {
      if (signal.aborted) return;
      if (this.failure) throw this.failure;
      if (at < this.#start) {
        yield { event: { case: 'gap', value: this.#gap(at) } };
        at = this.#start;
      } else if (at < this.end) {
        const data = this.#log.slice(at - this.#start, at - this.#start + PIECE_BYTES);
        yield { event: { case: 'output', value: { cursor: BigInt(at), data } } };
        at += data.byteLength;
      } else if (this.exit) {
        yield { event: { case: 'exited', value: { cursor: BigInt(at), ...this.exit } } };
        return;
      } else if (await this.#news.isIdle(signal)) {
        yield { event: { case: 'keepAlive', value: {} } };
      }
    }
  }

  #apply(writer: Writer, data: Uint8Array): void {
    this.typed.push(data);
    writer.next += 1;
    const held = writer.held.get(writer.next);
    if (!held) return;
    writer.held.delete(writer.next);
    this.#apply(writer, held.data);
    held.apply();
  }

  #ready(request: AttachTerminalRequest, cursor: number) {
    const isKnown = this.#writers.has(request.writerId);
    return {
      incarnation: this.incarnation,
      cursor: BigInt(cursor),
      replayUntil: BigInt(this.end),
      readerId: request.readerId || 'rdr-new',
      writerId: isKnown ? request.writerId : this.newWriter(),
    };
  }

  #gap(from: number) {
    return {
      from: BigInt(from),
      to: BigInt(this.#start),
      reason: GapReason.LEASE_EXPIRED,
    };
  }
}
