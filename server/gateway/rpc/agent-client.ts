import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import {
  type AgentHello,
  AgentService,
  type SuperviseResponse,
} from '../../../gen/computesdk/agent/v1/agent_service_pb.ts';
import { AGENT_PROTOCOL_VERSION } from '../../agent/config.ts';
import { untilAborted } from '../../core/abort.ts';
import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { AgentControl, GreetedAgent, GreetOptions } from '../sandbox/agent-control.ts';
import type { AgentEndpoint } from '../sandbox/agents.ts';

/** An honest message of an agent has some 70 bytes. */
const MAX_ANSWER_BYTES = 4096;
/** An agent that stays silent for this long, in milliseconds, hangs: it owes a keep-alive every 5 seconds. */
const MAX_SILENCE_MS = 30_000;
/** After a pause of this process the messages that wait are read before the silence is believed. */
const SILENCE_RECHECK_MS = 2000;
/** Messages of one agent within {@link RATE_WINDOW_MS}; one that sends more burns the gateway's time. */
const MAX_MESSAGES = 20;
const RATE_WINDOW_MS = 10_000;

/** Speaks the gateway's part of the agent protocol over agents' Unix sockets. */
export class AgentClient implements AgentControl {
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async greet(
    endpoint: AgentEndpoint,
    { signal, onKeepAlive }: GreetOptions,
  ): Promise<GreetedAgent> {
    const call = new AbortController();
    const stream = clientOf(endpoint).supervise(
      { protocolVersion: AGENT_PROTOCOL_VERSION },
      { signal: call.signal },
    );
    const messages = stream[Symbol.asyncIterator]();
    try {
      const first = await untilAborted(messages.next(), signal);
      const hello = helloOf(first.done ? undefined : first.value);
      const lost = this.#watch(messages, call, onKeepAlive);
      const { sandboxId, bootId, protocolVersion } = hello;
      const identity = { sandboxId, bootId, protocolVersion };
      return { identity, lost, leave: () => call.abort(new Error('no longer watched')) };
    } catch (error) {
      call.abort();
      throw error;
    }
  }

  async setExpiry(endpoint: AgentEndpoint, expiresAt: number, signal: AbortSignal): Promise<void> {
    const request = { expiresAt: timestampFromMs(expiresAt) };
    await untilAborted(clientOf(endpoint).setExpiry(request, { signal }), signal);
  }

  async shutdown(endpoint: AgentEndpoint, signal: AbortSignal): Promise<void> {
    await untilAborted(clientOf(endpoint).shutdown({}, { signal }), signal);
  }

  /** Reads until the stream ends, falls silent or floods. Gives the reason. */
  async #watch(
    messages: AsyncIterator<SuperviseResponse>,
    call: AbortController,
    onKeepAlive: () => void,
  ): Promise<string> {
    const silence = new SilenceTimer(this.#clock, () =>
      call.abort(new Error(`silent for ${MAX_SILENCE_MS} ms`)),
    );
    const rate = new MessageRate(this.#clock);
    try {
      for (;;) {
        silence.restart();
        const { done } = await messages.next();
        if (done) return 'it ended the stream';
        if (rate.isExceeded()) return `more than ${MAX_MESSAGES} messages in ${RATE_WINDOW_MS} ms`;
        onKeepAlive();
      }
    } catch (error) {
      const cause: unknown = call.signal.aborted ? call.signal.reason : error;
      return cause instanceof Error ? cause.message : String(cause);
    } finally {
      silence.clear();
      call.abort();
    }
  }
}

class SilenceTimer {
  readonly #clock: Clock;
  readonly #onSilence: () => void;
  #timer: Timer | undefined;

  constructor(clock: Clock, onSilence: () => void) {
    this.#clock = clock;
    this.#onSilence = onSilence;
  }

  restart(): void {
    this.clear();
    this.#timer = this.#clock.setTimer(() => {
      this.#timer = this.#clock.setTimer(this.#onSilence, SILENCE_RECHECK_MS);
    }, MAX_SILENCE_MS);
  }

  clear(): void {
    this.#timer?.clear();
  }
}

class MessageRate {
  readonly #clock: Clock;
  #windowStart: number;
  #count = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#windowStart = clock.monotonic();
  }

  /** Counts one message. */
  isExceeded(): boolean {
    const now = this.#clock.monotonic();
    if (now - this.#windowStart > RATE_WINDOW_MS) {
      this.#windowStart = now;
      this.#count = 0;
    }
    this.#count += 1;
    return this.#count > MAX_MESSAGES;
  }
}

function helloOf(message: SuperviseResponse | undefined): AgentHello {
  if (message?.event.case === 'hello') return message.event.value;
  throw new DomainError('AGENT_UNAVAILABLE', 'the agent did not greet back');
}

/** No connection is kept: each of these calls is rare, and the stream needs one for itself. */
function clientOf({ socketPath }: AgentEndpoint): Client<typeof AgentService> {
  const transport = createConnectTransport({
    httpVersion: '1.1',
    // Names nothing: the socket decides where the request goes, and this becomes its Host header.
    baseUrl: 'http://agent',
    nodeOptions: { socketPath, agent: false },
    readMaxBytes: MAX_ANSWER_BYTES,
    acceptCompression: [],
  });
  return createClient(AgentService, transport);
}
