import { CONNECTION_STREAM, decodeFrame } from '../../../frames/frame.ts';
import { toWireError } from '../../../frames/wire-error.ts';
import type { Frame, Hello, Open } from '../../../gen/computesdk/v1/frame_pb.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { toConnectError } from '../../rpc/connect-error.ts';
import { resetConnection } from '../../rpc/reset.ts';
import type { Caller } from '../auth/caller.ts';
import { AgentCalls } from './agent-calls.ts';
import { FrameSender } from './frame-sender.ts';
import { awaitHello } from './greeting.ts';
import { OwnCalls } from './own-calls.ts';
import { ReadingWatch } from './reading-watch.ts';
import { SocketIdentity } from './socket-identity.ts';
import type { SocketOrigin, SocketServices } from './socket-services.ts';
import { CLOSE } from './web-socket.ts';

/** Above this much that waits for a client, the sandbox waits too, in bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** How long a connection that ends may take to close by itself, in milliseconds. */
const CLOSE_MS = 1_000;

/** One client's WebSocket: says who calls, and sends each call where it is served. */
export class ClientSocket {
  readonly #services: SocketServices;
  readonly #from: SocketOrigin;
  readonly #identity: SocketIdentity;
  readonly #watch: ReadingWatch;
  readonly #sender: FrameSender;
  readonly #own: OwnCalls;
  readonly #agent: AgentCalls;
  /** Frames that came before the credential was checked. Undefined since. */
  #held: Buffer[] | undefined = [];
  /** The highest stream so far; only grows. */
  #lastStream = 0;
  #isClosed = false;
  /** Takes the connection out of those that its credential keeps alive. */
  #unregister = () => {};
  readonly #startedAt: number;

  private constructor(services: SocketServices, from: SocketOrigin, acceptsBatches = false) {
    this.#services = services;
    this.#from = from;
    const { webSocket, socket, sandboxId } = from;
    const { clock } = services;
    this.#startedAt = clock.monotonic();
    this.#identity = new SocketIdentity(services, from);
    this.#watch = new ReadingWatch(webSocket, socket, clock);
    const onBehind = () => this.#onBehind();
    this.#sender = new FrameSender({ webSocket, socket, acceptsBatches, onBehind });
    const send = (frame: Uint8Array) => {
      if (!this.#isClosed) this.#sender.send(frame);
    };
    this.#own = new OwnCalls({ services, from, send, identity: this.#identity });
    this.#agent = new AgentCalls({
      ...services,
      ...{ sandboxId, send },
      assertStillValid: (caller) => services.authentication.assertStillValid(caller, clock.now()),
      onPressure: (isFull) => (isFull ? webSocket.pause() : webSocket.resume()),
      onAccessEnded: () => this.#requireReading(),
    });
    socket.on('drain', () => {
      this.#agent.isPaused = false;
    });
    webSocket.on('close', () => this.#onGone());
  }

  /** Serves a WebSocket that was just opened. */
  static serve(services: SocketServices, from: SocketOrigin): void {
    const { webSocket, socket } = from;
    // Without a listener, an error of a connection would end the process. It closes after it.
    webSocket.on('error', () => {});
    const connection = { webSocket, socket, clock: services.clock };
    awaitHello(
      connection,
      (hello) => new ClientSocket(services, from, hello.acceptsBatches).#greet(hello),
      (cause) => void new ClientSocket(services, from).#finish(cause, CLOSE.policy),
    );
    webSocket.once('close', from.onKnown);
  }

  #greet({ authorization }: Hello): void {
    const { webSocket } = this.#from;
    this.#identity.replace(authorization);
    webSocket.on('message', (data, isBinary) => this.#onMessage(data, isBinary));
    try {
      const caller = this.#identity.ofConnection();
      if (!(caller instanceof Promise)) {
        this.#welcome(caller);
        return;
      }
      webSocket.pause();
      caller.then(
        (known) => this.#welcome(known),
        (error: unknown) => this.#refuse(error),
      );
    } catch (error) {
      this.#refuse(error);
    }
  }

  #welcome(caller: Caller): void {
    if (this.#isClosed) return;
    try {
      this.#register(caller);
      if (this.#isClosed) return;
      this.#services.requireSandbox(this.#from.sandboxId, caller);
    } catch (error) {
      this.#refuse(error);
      return;
    }
    this.#from.onKnown();
    this.#sender.sendBody({ case: 'welcome', value: {} });
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const data of held) this.#take(data);
    this.#from.webSocket.resume();
  }

  /** Lets the connection end with the credential of `caller`, instead of that before. */
  #register(caller: Caller): void {
    const { calls, authentication, clock } = this.#services;
    const before = this.#unregister;
    const place = calls.open({
      ...{ kind: 'socket', sandboxId: this.#from.sandboxId, principalId: caller.principal.id },
      ...(caller.kind === 'session_token' && { expiresAt: caller.expiresAt }),
      end: (cause) => this.#finish(cause, CLOSE.policy),
    });
    this.#unregister = place.leave;
    before();
    place.enter();
    // Sees a revocation that happened while the caller was being authenticated.
    authentication.assertStillValid(caller, clock.now());
  }

  #onMessage(data: unknown, isBinary: boolean): void {
    if (this.#isClosed) return;
    if (!(isBinary && Buffer.isBuffer(data))) this.#breach('every message must be a binary frame');
    else if (this.#held) this.#held.push(data);
    else this.#take(data);
  }

  #take(data: Buffer): void {
    let frame: Frame;
    try {
      frame = decodeFrame(data);
    } catch {
      this.#breach('a message is no frame');
      return;
    }
    const { stream, body } = frame;
    if (stream === CONNECTION_STREAM) this.#onConnectionFrame(body);
    else if (body.case === 'open') this.#open(stream, body.value, data);
    else if (stream > this.#lastStream) this.#breach('a call begins without its opening frame');
    else {
      const isFine = this.#own.has(stream) ? this.#own.take(frame) : this.#agent.take(frame, data);
      if (!isFine) this.#breach('a call was sent more than it may be, or what only servers send');
    }
  }

  #onConnectionFrame(body: Frame['body']): void {
    switch (body.case) {
      case 'ping':
        this.#sender.sendBody({ case: 'pong', value: { id: body.value.id } });
        return;
      case 'credit':
        this.#agent.grant(body.value);
        return;
      case 'credential':
        this.#renew(body.value.authorization);
        return;
      case 'pong':
      case undefined:
        return;
      default:
        this.#breach('the connection was sent what only calls or servers send');
    }
  }

  /** Calls from now on are made with another credential, and the connection ends with that one. */
  #renew(authorization: string): void {
    this.#identity.replace(authorization);
    const renewed = this.#identity.authorization;
    const keep = async () => {
      const caller = await this.#identity.ofConnection();
      if (!this.#isClosed && this.#identity.authorization === renewed) this.#register(caller);
    };
    // The connection stays with the credential before; the calls of a bad one tell what it is.
    keep().catch(() => {});
  }

  #open(stream: number, open: Open, bytes: Buffer): void {
    if (stream <= this.#lastStream) {
      this.#breach('the stream of a call must be higher than any before');
      return;
    }
    this.#lastStream = stream;
    if (this.#own.serves(open.method)) {
      this.#own.open(stream, open);
      return;
    }
    const method = this.#services.agentMethods.find(open.method);
    if (!method) this.#own.refuseUnknown(stream, open.method);
    else this.#agent.open({ stream, method, open, bytes }, this.#identity.ofCall(method, open));
  }

  #breach(problem: string): void {
    void this.#finish(invalidArgument('frame', problem), CLOSE.protocolError);
  }

  #refuse(error: unknown): void {
    if (!(error instanceof DomainError)) this.#services.log.error('socket failed', { error });
    void this.#finish(error, CLOSE.policy);
  }

  /** Tells the client why the connection ends, and ends it. Resolves when it has read that or was cut. */
  #finish(error: unknown, code: number): Promise<void> | undefined {
    if (this.#isClosed) return undefined;
    const { webSocket, socket } = this.#from;
    this.#close(error instanceof DomainError ? error.reason : 'INTERNAL');
    this.#sender.sendBody({ case: 'ended', value: { error: toWireError(toConnectError(error)) } });
    const isRead = this.#requireReading();
    webSocket.resume();
    webSocket.close(code);
    const cut = this.#services.clock.setTimer(() => resetConnection(socket), CLOSE_MS);
    webSocket.once('close', () => cut.clear());
    return isRead;
  }

  #onGone(): void {
    this.#watch.stop();
    this.#close('client left');
  }

  #close(code: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#unregister();
    this.#own.close();
    this.#agent.close('client left');
    const durationMs = Math.round(this.#services.clock.monotonic() - this.#startedAt);
    const { sandboxId } = this.#from;
    this.#services.log.info('socket', { code, durationMs, sandboxId });
  }

  /** As {@link ReadingWatch.require}, of all that the client was sent. */
  #requireReading(): Promise<void> {
    this.#sender.flush();
    return this.#watch.require();
  }

  #onBehind(): void {
    this.#watch.onBehind();
    if (this.#from.socket.writableLength > MAX_WAITING_BYTES) this.#agent.isPaused = true;
  }
}
