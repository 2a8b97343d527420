import { type ClientRequest, request } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  CONNECTION_STREAM,
  decodeFrame,
  encodeFrame,
  MAX_ANSWER_FRAME_BYTES,
} from '../../../frames/frame.ts';
import type { Frame } from '../../../gen/computesdk/v1/frame_pb.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Principal } from '../../core/principal.ts';
import { FRAME_LINK_PATH, FRAME_LINK_PROTOCOL } from '../../rpc/frame-link.ts';
import { FrameSplitter } from '../../rpc/frame-splitter.ts';
import { FrameWriter } from '../../rpc/frame-writer.ts';
import { principalToHeaders } from '../../rpc/principal-headers.ts';
import { loopShare } from '../proxy/loop-share.ts';
import type { AgentEndpoint } from '../sandbox/agents.ts';

/** What may wait for an agent that is being started, in bytes. A call beyond it ends with LIMIT_REACHED. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** The most bytes of the headers that an agent accepts a link with. */
const MAX_RESPONSE_HEADER_BYTES = 16 * 1024;

export type AgentLinkOptions = {
  /** Finds the sandbox's agent or starts it. */
  readonly endpoint: (signal: AbortSignal) => Promise<AgentEndpoint>;
  /** Takes a frame of the agent, which may be anything. Throws BAD_SANDBOX_RESPONSE. */
  readonly onFrame: (frame: Frame, bytes: Buffer) => void;
  /** The agent has taken enough for now, or takes more again. */
  readonly onPressure: (isFull: boolean) => void;
  /** The link is gone for good, for which it was not asked. Called at most once. */
  readonly onLost: (cause: DomainError) => void;
};

/** The connection to an agent over which the calls of one client go, in frames. */
export class AgentLink {
  readonly #options: AgentLinkOptions;
  readonly #abort = new AbortController();
  #socket: Duplex | undefined;
  /** What is sent when the link is there. Undefined from then on. */
  #waiting: Uint8Array[] | undefined = [];
  #waitingBytes = 0;
  /** Whom the agent takes the next call to be made by. */
  #principal: Principal | undefined;
  #isPaused = false;
  #writer: FrameWriter | undefined;
  readonly #resume = () => {
    if (!this.#isPaused) this.#socket?.resume();
  };

  constructor(options: AgentLinkOptions) {
    this.#options = options;
    void this.#open();
  }

  /** Opens a call of `principal`. Throws LIMIT_REACHED. */
  open(principal: Principal, frame: Uint8Array): void {
    if (this.#waitingBytes > MAX_WAITING_BYTES) {
      throw new DomainError('LIMIT_REACHED', 'the sandbox is being started: try again later');
    }
    if (principal !== this.#principal) {
      this.#principal = principal;
      const fields = Object.entries(principalToHeaders(principal));
      const headers = fields.map(([name, value]) => ({ name, value }));
      this.send(encodeFrame(CONNECTION_STREAM, { case: 'head', value: { headers } }));
    }
    this.send(frame);
  }

  /** Sends a frame. Does nothing once the link is gone. */
  send(frame: Uint8Array): void {
    if (this.#waiting) {
      this.#waiting.push(frame);
      this.#waitingBytes += frame.length;
      return;
    }
    const socket = this.#socket;
    if (!socket || socket.destroyed) return;
    const isFlowing = this.#writer?.write([frame]);
    if (!isFlowing && socket.writableNeedDrain) this.#options.onPressure(true);
  }

  /** Lets the agent wait, or go on. */
  set isPaused(isPaused: boolean) {
    this.#isPaused = isPaused;
    if (isPaused) this.#socket?.pause();
    else this.#socket?.resume();
  }

  /** Gives the link up. */
  close(): void {
    this.#abort.abort();
    this.#socket?.destroy();
    loopShare.leave(this.#resume);
  }

  async #open(): Promise<void> {
    const { signal } = this.#abort;
    try {
      const { socketPath } = await this.#options.endpoint(signal);
      if (signal.aborted) return;
      const { socket, head } = await connect(socketPath, signal);
      this.#serve(socket, head);
    } catch (error) {
      this.#lose(error instanceof DomainError ? error : broken(error));
    }
  }

  #serve(socket: Duplex, head: Buffer): void {
    this.#socket = socket;
    this.#writer = new FrameWriter(socket);
    const splitter = new FrameSplitter(MAX_ANSWER_FRAME_BYTES);
    socket.on('error', () => {});
    socket.on('close', () => this.#lose(broken()));
    socket.on('end', () => this.#lose(broken()));
    socket.on('drain', () => this.#options.onPressure(false));
    const onData = (chunk: Buffer) => {
      try {
        for (const bytes of splitter.push(chunk)) this.#options.onFrame(decodeFrame(bytes), bytes);
      } catch (error) {
        this.#lose(error instanceof DomainError ? error : notAllowed(error));
        return;
      }
      if (!loopShare.take(chunk.length, this.#resume)) socket.pause();
    };
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    this.#waitingBytes = 0;
    for (const frame of waiting) this.send(frame);
    if (head.length > 0) onData(head);
    socket.on('data', onData);
    if (this.#isPaused) socket.pause();
  }

  #lose(cause: DomainError): void {
    if (this.#abort.signal.aborted) return;
    this.close();
    this.#options.onLost(cause);
  }
}

type Connected = { readonly socket: Duplex; readonly head: Buffer };

function connect(socketPath: string, signal: AbortSignal): Promise<Connected> {
  const call = request({
    ...{ socketPath, path: FRAME_LINK_PATH, agent: false, signal },
    headers: { host: 'sandbox', connection: 'Upgrade', upgrade: FRAME_LINK_PROTOCOL },
    maxHeaderSize: MAX_RESPONSE_HEADER_BYTES,
  });
  const connected = accepted(call);
  call.end();
  return connected;
}

function accepted(call: ClientRequest): Promise<Connected> {
  return new Promise((resolve, reject) => {
    call.on('error', (error) => reject(broken(error)));
    call.on('upgrade', (_response, socket, head) => resolve({ socket, head }));
    call.on('response', (response) => {
      response.destroy();
      reject(notAllowed());
    });
    call.on('information', () => {
      call.destroy();
      reject(notAllowed());
    });
  });
}

function broken(cause?: unknown): DomainError {
  return new DomainError('AGENT_UNAVAILABLE', 'the connection to the sandbox broke', { cause });
}

function notAllowed(cause?: unknown): DomainError {
  return new DomainError('BAD_SANDBOX_RESPONSE', 'the sandbox sent what is no valid frame', {
    cause,
  });
}
