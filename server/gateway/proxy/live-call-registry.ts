import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { Quota } from '../../core/quota.ts';
import type { LiveCalls } from '../sandbox/agents.ts';

/** The most streams into one sandbox at a time. One more ends with LIMIT_REACHED. */
export const MAX_STREAMS_PER_SANDBOX = 256;
/** The most calls without a stream into one sandbox at a time. One more ends with LIMIT_REACHED. */
export const MAX_UNARY_CALLS_PER_SANDBOX = 512;
/** The most WebSockets to one sandbox at a time. One more ends with LIMIT_REACHED. */
export const MAX_SOCKETS_PER_SANDBOX = 256;
/** The most large requests on their way into one sandbox at a time. One more ends with LIMIT_REACHED. */
export const MAX_LARGE_ARRIVALS_PER_SANDBOX = 256;

/** The most requests and WebSockets of one sandbox's previews at a time. One more is answered with 503. */
export const MAX_PREVIEW_REQUESTS_PER_SANDBOX = 1024;

/** A call that enters a sandbox, a WebSocket that carries calls, or a request to a preview. */
export type LiveCall = {
  readonly kind: 'stream' | 'unary' | 'socket' | 'preview';
  readonly sandboxId: string;
  /** Id of the session token or API key that makes it. */
  readonly principalId: string;
  /** When the session token ends, in milliseconds since the epoch. Absent: never. */
  readonly expiresAt?: number;
  /**
   * Ends it with this cause, at a message boundary. Called at most once. Resolves, where there is
   * something to wait for, when the client has read what was sent before or was cut.
   */
  readonly end: (cause: DomainError) => Promise<void> | undefined;
};

/** A call that can be ended. It counts as one into its sandbox only from `enter` on. */
export type CallPlace = {
  /** Notes that the request is large and still arrives. Throws LIMIT_REACHED. */
  readonly arriveLarge: () => void;
  /**
   * Notes that the request has arrived. A client that sends it slowly keeps nobody out. Throws
   * LIMIT_REACHED.
   */
  readonly enter: () => void;
  /** Gives everything back. May be called more than once. */
  readonly leave: () => void;
};

type SandboxCalls = {
  readonly calls: Set<LiveCall>;
  readonly largeArrivals: Quota;
  readonly quotas: Readonly<Record<LiveCall['kind'], Quota>>;
};

/** Knows every call that runs into a sandbox, to limit them and to end them at once. */
export class LiveCallRegistry implements LiveCalls {
  readonly #clock: Clock;
  /** Has an entry exactly while a call is open. */
  readonly #sandboxes = new Map<string, SandboxCalls>();
  /** Has an entry exactly while a call is open. */
  readonly #principals = new Map<string, Set<LiveCall>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** How many calls are open. */
  get size(): number {
    let size = 0;
    for (const calls of this.#principals.values()) size += calls.size;
    return size;
  }

  /** Registers a call until it leaves. All but unary ones end with EXPIRED when their token does. */
  open(call: LiveCall): CallPlace {
    const sandbox = this.#sandboxes.get(call.sandboxId) ?? newSandboxCalls();
    this.#sandboxes.set(call.sandboxId, sandbox);
    sandbox.calls.add(call);
    const own = this.#principals.get(call.principalId) ?? new Set();
    this.#principals.set(call.principalId, own);
    own.add(call);
    const expiry = call.kind === 'unary' ? undefined : this.#expire(call);
    let hasLeft = false;
    let giveBack = () => {};
    const take = (quota: Quota) => {
      giveBack();
      if (!hasLeft) giveBack = quota.acquire();
    };
    return {
      arriveLarge: () => take(sandbox.largeArrivals),
      enter: () => take(sandbox.quotas[call.kind]),
      leave: () => {
        if (hasLeft) return;
        hasLeft = true;
        giveBack();
        expiry?.clear();
        sandbox.calls.delete(call);
        if (sandbox.calls.size === 0) this.#sandboxes.delete(call.sandboxId);
        own.delete(call);
        if (own.size === 0) this.#principals.delete(call.principalId);
      },
    };
  }

  endSandbox(sandboxId: string, cause: DomainError): void {
    void endEach(this.#sandboxes.get(sandboxId)?.calls, cause);
  }

  endPrincipal(principalId: string, cause: DomainError): Promise<void> {
    return endEach(this.#principals.get(principalId), cause);
  }

  /** Ends every call, for example when the gateway shuts down. */
  endAll(cause: DomainError): void {
    for (const calls of [...this.#principals.values()]) void endEach(calls, cause);
  }

  #expire(call: LiveCall): Timer | undefined {
    const { expiresAt } = call;
    if (expiresAt === undefined) return undefined;
    let timer: Timer;
    const arm = () => {
      timer = this.#clock.setTimer(() => {
        // A timer may fire early: it cannot hold more than 24 days.
        if (this.#clock.now() < expiresAt) arm();
        else void call.end(new DomainError('EXPIRED', 'the session token has expired'));
      }, expiresAt - this.#clock.now());
    };
    arm();
    return { clear: () => timer.clear() };
  }
}

function newSandboxCalls(): SandboxCalls {
  return {
    calls: new Set(),
    largeArrivals: new Quota(
      MAX_LARGE_ARRIVALS_PER_SANDBOX,
      'large requests on their way into this sandbox',
    ),
    quotas: {
      stream: new Quota(MAX_STREAMS_PER_SANDBOX, 'streams into this sandbox'),
      unary: new Quota(MAX_UNARY_CALLS_PER_SANDBOX, 'calls at a time into this sandbox'),
      preview: new Quota(MAX_PREVIEW_REQUESTS_PER_SANDBOX, 'requests to previews of this sandbox'),
      socket: new Quota(MAX_SOCKETS_PER_SANDBOX, 'WebSockets to this sandbox'),
    },
  };
}

async function endEach(
  calls: ReadonlySet<LiveCall> | undefined,
  cause: DomainError,
): Promise<void> {
  // Ending a call removes it from the set.
  await Promise.all([...(calls ?? [])].map(async (call) => call.end(cause)));
}
