import type {
  DescMessage,
  DescMethodStreaming,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf';
import type { ContextValues, StreamResponse, Transport } from '@connectrpc/connect';
import { SandboxError } from '../errors.ts';
import type { Clock, Timer } from './clock.ts';
import type { ConnectionNotice } from './connection-state.ts';
import { warn } from './warn.ts';

/** Connections that a browser opens to one origin over HTTP/1.1, shared by all tabs: six, one of them for calls. */
export const MAX_STREAMS_IN_PAGE = 5;
/** The server's first message comes at once: after this long something keeps it back, in milliseconds. */
const LATE_MS = 3_000;

export type WatchedStreamsOptions = {
  readonly baseUrl: string;
  readonly clock: Clock;
  readonly onNotice: (notice: ConnectionNotice) => void;
  /** A stream has begun and nothing of it came, for 3 seconds. */
  readonly onLateStream: (stillLate: () => boolean) => void;
};

/**
 * Streams over HTTP, whose number a page must limit: the sixth would stop every further call to the
 * gateway, in all tabs. It also notices what keeps the messages of streams back.
 */
export class WatchedStreams implements Transport {
  readonly unary: Transport['unary'];
  readonly #inner: Transport;
  readonly #options: WatchedStreamsOptions;
  #open = 0;
  #hasWarned = false;

  constructor(inner: Transport, options: WatchedStreamsOptions) {
    this.#inner = inner;
    this.#options = options;
    this.unary = inner.unary.bind(inner);
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersInit | undefined,
    input: AsyncIterable<MessageInitShape<I>>,
    values?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    if (this.#open >= MAX_STREAMS_IN_PAGE - 1 && isLimited(this.#options.baseUrl)) {
      if (this.#open >= MAX_STREAMS_IN_PAGE) throw tooMany();
      this.#warn();
    }
    this.#open += 1;
    let isLate = true;
    const timer: Timer = this.#options.clock.setTimer(
      () => this.#options.onLateStream(() => isLate),
      LATE_MS,
      { background: true },
    );
    const onFirst = () => {
      isLate = false;
      timer.clear();
    };
    let isOver = false;
    const onEnd = () => {
      if (isOver) return;
      isOver = true;
      onFirst();
      signal?.removeEventListener('abort', onEnd);
      this.#open -= 1;
    };
    // A stream that is given up before it is read never comes to the end of its reading.
    signal?.addEventListener('abort', onEnd, { once: true });
    try {
      const response = await this.#inner.stream(method, signal, timeoutMs, header, input, values);
      return { ...response, message: watched(response.message, onFirst, onEnd) };
    } catch (error) {
      onEnd();
      throw error;
    }
  }

  #warn(): void {
    if (this.#hasWarned) return;
    this.#hasWarned = true;
    const message = `over HTTP/1.1 a page can have ${MAX_STREAMS_IN_PAGE} streams at a time, of which this is the last: use WebSockets (the default), or serve the gateway with TLS and HTTP/2`;
    warn(message);
    this.#options.onNotice({ code: 'stream_limit', message });
  }
}

async function* watched<T extends DescMessage>(
  messages: AsyncIterable<MessageShape<T>>,
  onFirst: () => void,
  onEnd: () => void,
): AsyncIterable<MessageShape<T>> {
  try {
    for await (const message of messages) {
      onFirst();
      yield message;
    }
  } finally {
    onEnd();
  }
}

function tooMany(): SandboxError {
  return new SandboxError(
    'limit_reached',
    `over HTTP/1.1 a page can have ${MAX_STREAMS_IN_PAGE} streams at a time: use WebSockets (the default), or serve the gateway with TLS and HTTP/2`,
  );
}

/** Whether this is a page that reaches the address over HTTP/1.1. Without TLS browsers speak nothing else. */
function isLimited(baseUrl: string): boolean {
  if (typeof document === 'undefined') return false;
  if (baseUrl.startsWith('http:')) return true;
  const calls = performance
    .getEntriesByType('resource')
    .filter(({ name }) => name.startsWith(baseUrl));
  const last = calls.at(-1);
  return last instanceof PerformanceResourceTiming && last.nextHopProtocol === 'http/1.1';
}
