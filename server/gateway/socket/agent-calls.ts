import type { DescMethod } from '@bufbuild/protobuf';
import {
  CONNECTION_STREAM,
  encodeFrame,
  type FrameBody,
  MAX_MESSAGE_BYTES,
} from '../../../frames/frame.ts';
import { STREAM_WINDOW_BYTES } from '../../../frames/outflow.ts';
import { toWireError } from '../../../frames/wire-error.ts';
import type { Frame, Open } from '../../../gen/computesdk/v1/frame_pb.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import { FRAMES } from '../../rpc/served-call.ts';
import type { Caller } from '../auth/caller.ts';
import { type CallOutcome, callLine } from '../proxy/call-line.ts';
import { endsAccess } from '../proxy/end-of-access.ts';
import type { LiveCallRegistry } from '../proxy/live-call-registry.ts';
import type { AgentEndpoint } from '../sandbox/agents.ts';
import { checkEnd, notAllowed } from './agent-answer.ts';
import { AgentLink } from './agent-link.ts';

export type AgentCallsOptions = {
  readonly sandboxId: string;
  /** Throws if the credential of the caller has ended since. */
  readonly assertStillValid: (caller: Caller) => void;
  /** Throws NOT_FOUND or EXPIRED unless the sandbox is there and the caller may see it. */
  readonly requireSandbox: (sandboxId: string, caller: Caller) => void;
  readonly endpoint: (sandboxId: string, signal: AbortSignal) => Promise<AgentEndpoint>;
  readonly calls: LiveCallRegistry;
  readonly clock: Clock;
  readonly log: Logger;
  /** Sends a frame to the client. */
  readonly send: (frame: Uint8Array) => void;
  /** The agent has taken enough of the client for now, or takes more again. */
  readonly onPressure: (isFull: boolean) => void;
  /** A call ended together with its caller's access: nothing more of it may be read. */
  readonly onAccessEnded: () => Promise<void>;
};

/** A call into the sandbox. */
type RelayedCall = {
  readonly stream: number;
  /** What came before the caller was known. Undefined once the call was passed on. */
  held: Uint8Array[] | undefined;
  heldBytes: number;
  /** Writes the log line and gives back what the call holds. */
  release: (outcome: CallOutcome) => void;
};

/** The calls of one client into its sandbox: passes their frames on, and can end them at any time. */
export class AgentCalls {
  readonly #options: AgentCallsOptions;
  readonly #calls = new Map<number, RelayedCall>();
  #link: AgentLink | undefined;
  #isPaused = false;
  /** What the agent was sent of messages and has not granted again, in bytes. */
  #sent = 0;
  /** What the client was sent of messages and has not granted again, in bytes. */
  #received = 0;
  /** What the client will grant for messages of agents that are gone, in bytes. */
  #lapsed = 0;

  constructor(options: AgentCallsOptions) {
    this.#options = options;
  }

  has(stream: number): boolean {
    return this.#calls.has(stream);
  }

  /** Opens a call. `caller` rejects, or was checked to allow the method. */
  open(call: OpeningCall, caller: Caller | Promise<Caller>): void {
    const { stream } = call;
    const entry: RelayedCall = { stream, held: [], heldBytes: 0, release: () => {} };
    this.#calls.set(stream, entry);
    if (!(caller instanceof Promise)) {
      this.#pass(entry, call, caller);
      return;
    }
    caller.then(
      (known) => this.#pass(entry, call, known),
      (error: unknown) => this.#end(entry, toDomainError(error)),
    );
  }

  /** Takes a frame of a call after its first. Returns false for one that breaks the protocol. */
  take({ stream, body }: Frame, bytes: Uint8Array): boolean {
    const entry = this.#calls.get(stream);
    switch (body.case) {
      case 'message':
        if (!entry) this.#grantClient(body.value.length);
        else if (!entry.held) this.#sent += body.value.length;
        break;
      case 'cancel':
        if (entry) this.#close(entry, 'client left');
        return true;
      case 'finish':
      case 'credit':
        break;
      default:
        return false;
    }
    if (!entry) return true;
    if (!entry.held) {
      this.#link?.send(bytes);
      return true;
    }
    entry.held.push(bytes);
    entry.heldBytes += bytes.length;
    return entry.heldBytes <= STREAM_WINDOW_BYTES + MAX_MESSAGE_BYTES;
  }

  /** The client allows so many bytes more of messages, over all calls. */
  grant(credit: number): void {
    const lapsed = Math.min(credit, this.#lapsed);
    this.#lapsed -= lapsed;
    this.#received = Math.max(0, this.#received - (credit - lapsed));
    this.#grantAgent(credit - lapsed);
  }

  /** Lets the agent wait while the client takes nothing. */
  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    if (this.#link) this.#link.isPaused = isPaused;
  }

  /** The client is gone. */
  close(outcome: CallOutcome): void {
    for (const entry of [...this.#calls.values()]) this.#close(entry, outcome);
    this.#link?.close();
    this.#link = undefined;
  }

  #pass(entry: RelayedCall, call: OpeningCall, caller: Caller): void {
    if (this.#calls.get(entry.stream) !== entry) return;
    try {
      this.#register(entry, call.method, caller);
      if (this.#calls.get(entry.stream) !== entry) return;
      this.#options.requireSandbox(this.#options.sandboxId, caller);
      const link = this.#openLink();
      link.open(caller.principal, openingFrame(call));
      const held = entry.held ?? [];
      entry.held = undefined;
      this.#sent += entry.heldBytes;
      for (const bytes of held) link.send(bytes);
    } catch (error) {
      void this.#end(entry, toDomainError(error));
    }
  }

  #register(entry: RelayedCall, method: DescMethod, caller: Caller): void {
    const { sandboxId, calls, clock, log } = this.#options;
    const line = callLine(log, clock, { method, caller, sandboxId, protocol: FRAMES });
    entry.release = line;
    const place = calls.open({
      ...{ sandboxId, principalId: caller.principal.id },
      ...(caller.kind === 'session_token' && { expiresAt: caller.expiresAt }),
      kind: method.methodKind === 'unary' ? 'unary' : 'stream',
      end: (cause) => this.#end(entry, cause),
    });
    entry.release = (outcome) => {
      place.leave();
      line(outcome);
    };
    place.enter();
    // Sees a revocation that happened while the caller was being authenticated.
    this.#options.assertStillValid(caller);
  }

  #openLink(): AgentLink {
    if (this.#link) return this.#link;
    const { endpoint, sandboxId, onPressure } = this.#options;
    const link = new AgentLink({
      endpoint: (signal) => endpoint(sandboxId, signal),
      onFrame: (frame, bytes) => this.#onFrame(frame, bytes),
      onPressure,
      onLost: (cause) => this.#onLost(cause),
    });
    link.isPaused = this.#isPaused;
    this.#link = link;
    return link;
  }

  /** Takes a frame of the agent. Throws BAD_SANDBOX_RESPONSE. */
  #onFrame(frame: Frame, bytes: Uint8Array): void {
    const { stream, body } = frame;
    if (stream === CONNECTION_STREAM) {
      if (body.case !== 'credit') throw notAllowed('a frame that only the gateway sends');
      this.#sent = Math.max(0, this.#sent - body.value);
      this.#grantClient(body.value);
      return;
    }
    const entry = this.#calls.get(stream);
    switch (body.case) {
      case 'head':
        // What headers a client gets is for the gateway to say.
        if (entry) this.#send(stream, { case: 'head', value: {} });
        return;
      case 'message':
        if (body.value.length > MAX_MESSAGE_BYTES) throw notAllowed('a message above 256 KiB');
        if (!entry) {
          this.#grantAgent(body.value.length);
          return;
        }
        this.#received += body.value.length;
        this.#options.send(bytes);
        return;
      case 'credit':
        if (entry) this.#options.send(bytes);
        return;
      case 'end': {
        const end = checkEnd(body.value);
        if (!entry) return;
        this.#calls.delete(stream);
        entry.release(body.value.error ? 'failed' : 'ok');
        if (end) this.#send(stream, { case: 'end', value: end });
        else this.#options.send(bytes);
        return;
      }
      default:
        throw notAllowed('a frame that only clients send');
    }
  }

  #onLost(cause: DomainError): void {
    this.#link = undefined;
    this.#lapsed += this.#received;
    this.#received = 0;
    this.#grantClient(this.#sent);
    this.#sent = 0;
    this.#options.onPressure(false);
    for (const entry of [...this.#calls.values()]) {
      // One whose caller is not known yet finds the next link.
      if (!entry.held) void this.#end(entry, cause);
    }
  }

  /** Ends a call with an error. Does nothing when it is over. Resolves as {@link AgentCallsOptions.onAccessEnded} does. */
  #end(entry: RelayedCall, cause: DomainError): Promise<void> | undefined {
    if (!this.#close(entry, cause)) return undefined;
    const error = toWireError(toConnectError(cause));
    this.#send(entry.stream, { case: 'end', value: { error } });
    return endsAccess(cause) ? this.#options.onAccessEnded() : undefined;
  }

  /** Lets go of a call. Returns whether it was open until now. */
  #close(entry: RelayedCall, outcome: CallOutcome): boolean {
    if (this.#calls.get(entry.stream) !== entry) return false;
    this.#calls.delete(entry.stream);
    if (!entry.held) this.#link?.send(encodeFrame(entry.stream, { case: 'cancel', value: {} }));
    entry.release(outcome);
    return true;
  }

  #grantClient(credit: number): void {
    if (credit > 0) this.#send(CONNECTION_STREAM, { case: 'credit', value: credit });
  }

  #grantAgent(credit: number): void {
    if (credit <= 0) return;
    this.#link?.send(encodeFrame(CONNECTION_STREAM, { case: 'credit', value: credit }));
  }

  #send(stream: number, body: FrameBody): void {
    this.#options.send(encodeFrame(stream, body));
  }
}

/** A call as its client opens it. */
export type OpeningCall = {
  readonly stream: number;
  readonly method: DescMethod;
  readonly open: Open;
  /** The frame that opens it. */
  readonly bytes: Uint8Array;
};

/** The frame that opens a call in the sandbox: no header of the client enters it. */
function openingFrame({ stream, open, bytes }: OpeningCall): Uint8Array {
  if (open.headers.length === 0) return bytes;
  return encodeFrame(stream, { case: 'open', value: { ...open, headers: [] } });
}

function toDomainError(error: unknown): DomainError {
  if (error instanceof DomainError) return error;
  return new DomainError('INTERNAL', 'internal error, see the server log', { cause: error });
}
