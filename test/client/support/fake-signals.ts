import type { MessageInitShape } from '@bufbuild/protobuf';
import { Code, type ConnectError, type ServiceImpl } from '@connectrpc/connect';
import type { Clock } from '../../../client/connection/clock.ts';
import { ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { PortChange } from '../../../gen/computesdk/v1/signal_pb.ts';
import type {
  EmitSignalRequest,
  SignalService,
  StreamSignalsRequest,
  StreamSignalsResponseSchema,
} from '../../../gen/computesdk/v1/signal_service_pb.ts';
import { GapReason } from '../../../gen/computesdk/v1/stream_pb.ts';
import { refusal } from './fake-terminal.ts';
import { News } from './news.ts';

type Message = MessageInitShape<typeof StreamSignalsResponseSchema>;
type Event = NonNullable<Message['event']>;

/** The signals of a sandbox without programs: a test opens ports and looks at what was asked. */
export class FakeSignals {
  incarnation = 'life-1';
  readonly attaches: StreamSignalsRequest[] = [];
  readonly emitted: EmitSignalRequest[] = [];
  /** Refuses every stream with this. */
  failure: ConnectError | undefined;
  /** Ends each stream right before this event. */
  cutBefore: Event['case'];
  readonly #news: News;
  readonly #open = new Set<number>();
  #log: ((cursor: bigint) => Event)[] = [];
  #start = 0;

  constructor(clock: Clock) {
    this.#news = new News(clock);
  }

  open(port: number): void {
    this.#open.add(port);
    this.#port(port, PortChange.OPEN);
  }

  close(port: number): void {
    this.#open.delete(port);
    this.#port(port, PortChange.CLOSE);
  }

  error(message: string): void {
    this.#push((cursor) => ({
      case: 'error',
      value: { cursor, failure: { message, source: 's' } },
    }));
  }

  ready(port: number, path: string): void {
    this.#push((cursor) => ({ case: 'serverReady', value: { cursor, server: { port, path } } }));
  }

  custom(name: string): void {
    this.#push((cursor) => ({ case: 'custom', value: { cursor, signal: { name, data: 'd' } } }));
  }

  /** Forgets what it holds. */
  evict(): void {
    this.#start += this.#log.length;
    this.#log = [];
  }

  /** Its process died: another one took its place, with these ports open. */
  restart(...open: number[]): void {
    this.incarnation = `life-${this.attaches.length + 1}`;
    this.#open.clear();
    for (const port of open) this.#open.add(port);
    this.#log = [];
    this.#start = 0;
  }

  fail(failure: ConnectError): void {
    this.failure = failure;
    this.#news.tell();
  }

  service(): ServiceImpl<typeof SignalService> {
    return {
      streamSignals: (request, { signal }) => this.#stream(request, signal),
      listPorts: () => ({ ports: [...this.#open].map((port) => ({ port, address: '::' })) }),
      emitSignal: (request) => {
        this.emitted.push(request);
        return {};
      },
    };
  }

  get #end(): number {
    return this.#start + this.#log.length;
  }

  async *#stream(request: StreamSignalsRequest, signal: AbortSignal): AsyncGenerator<Message> {
    this.attaches.push(request);
    for await (const event of this.#events(request, signal)) {
      if (event.case === this.cutBefore) return;
      yield { event };
    }
  }

  async *#events(request: StreamSignalsRequest, signal: AbortSignal): AsyncGenerator<Event> {
    if (this.failure) throw this.failure;
    const isForeign = request.incarnation !== '' && request.incarnation !== this.incarnation;
    const wanted = isForeign ? undefined : request.cursor;
    let at = Number(wanted ?? BigInt(isForeign ? this.#start : this.#end));
    let arePortsDue = wanted === undefined || request.portsWanted;
    yield { case: 'ready', value: this.#ready(request, at) };
    if (isForeign) yield gap(Number(request.cursor), at, GapReason.INCARNATION);
    while (!signal.aborted) {
      if (this.failure) throw this.failure;
      const cursor = BigInt(at);
      const entry = this.#log[at - this.#start];
      if (at < this.#start) {
        yield gap(at, this.#start, GapReason.SLOW_READER);
        at = this.#start;
        arePortsDue = true;
      } else if (entry) {
        at += 1;
        yield entry(cursor);
      } else if (arePortsDue) {
        arePortsDue = false;
        const ports = [...this.#open].map((port) => ({ port, address: '127.0.0.1', process: 'p' }));
        yield { case: 'ports', value: { cursor, ports } };
      } else if (await this.#news.isIdle(signal)) yield { case: 'keepAlive', value: {} };
    }
  }

  #ready({ readerId }: StreamSignalsRequest, at: number) {
    const positions = { cursor: BigInt(at), replayUntil: BigInt(this.#end) };
    return { incarnation: this.incarnation, readerId: readerId || 'rdr-new', ...positions };
  }

  #port(port: number, change: PortChange): void {
    const record = { port, address: '127.0.0.1', process: 'p', pid: 5 };
    this.#push((cursor) => ({ case: 'port', value: { cursor, change, port: record } }));
  }

  #push(entry: (cursor: bigint) => Event): void {
    this.#log.push(entry);
    this.#news.tell();
  }
}

/** A refusal that ends the stream for good. */
export const forbidden = (): ConnectError =>
  refusal(Code.PermissionDenied, ErrorReason.PERMISSION_DENIED);

function gap(from: number, to: number, reason: GapReason): Event {
  return { case: 'gap', value: { from: BigInt(from), to: BigInt(to), reason } };
}
