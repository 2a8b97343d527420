import { connect, type Socket } from 'node:net';
import type { ChaosProxy } from './chaos-proxy.ts';
import { HttpWire } from './http-wire.ts';
import type { ProxiedCall } from './proxied-call.ts';
import { delay } from './until.ts';
import type { Direction, Piece } from './wire.ts';

/** One client's connection through a {@link ChaosProxy}. */
export class ProxiedConnection {
  readonly #proxy: ChaosProxy;
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #wire: HttpWire;
  #isCut = false;

  constructor(proxy: ChaosProxy, client: Socket) {
    this.#proxy = proxy;
    this.#client = client;
    this.#wire = new HttpWire(proxy);
    this.#upstream = connect({
      port: proxy.targetPort,
      host: '127.0.0.1',
      noDelay: true,
      allowHalfOpen: true,
    });
    void this.#pump('to-server', client, this.#upstream);
    void this.#pump('to-client', this.#upstream, client);
  }

  /** The calls under way, each from the first byte of its request to the last of its answer. */
  get calls(): readonly ProxiedCall[] {
    return this.#isCut ? [] : this.#wire.calls;
  }

  /** Cuts both sides at once, by a reset or a FIN, on account of a call or else of what matters most. */
  cut(options: { isCounted: boolean; by?: ProxiedCall | undefined }): void {
    if (this.#isCut) return;
    const isReset = this.#proxy.isReset();
    const { calls } = this;
    const call = options.by ?? calls.find(({ isLiveStream }) => isLiveStream) ?? calls[0];
    if (options.isCounted && call) this.#count(call, isReset);
    this.#close({ isReset });
    if (call) this.#proxy.plan.onCut?.(call);
  }

  #count(call: ProxiedCall, isReset: boolean): void {
    const { counters } = this.#proxy;
    counters.cuts++;
    if (isReset) counters.resets++;
    else counters.fins++;
    if (call.requestEnded) counters.serverToClientCuts++;
    else counters.clientToServerCuts++;
    if (this.calls.some(({ isLiveStream }) => isLiveStream)) counters.liveStreamCuts++;
    if (call.isInside) counters.insideEnvelopeCuts++;
    if (call.isInsideRequest) counters.insideRequestCuts++;
    if (call.method === 'socket') counters.handshakeCuts++;
    if (call.method === 'hello') counters.helloCuts++;
    if (call.isReconnect && !call.isLiveStream) counters.reconnectCuts++;
  }

  #close({ isReset }: { isReset: boolean }): void {
    if (this.#isCut) return;
    const { calls } = this;
    this.#isCut = true;
    for (const socket of [this.#client, this.#upstream]) {
      // libuv refuses to reset what is being ended, and Node.js then leaves it open for ever.
      const isEnding = socket.writableEnded && !socket.writableFinished;
      if (isReset && !socket.connecting && !isEnding) socket.resetAndDestroy();
      else socket.destroy();
    }
    for (const call of calls) this.#proxy.noteCallEnd(call, { isBroken: true });
    this.#proxy.forget(this);
  }

  async #pump(direction: Direction, from: Socket, to: Socket): Promise<void> {
    // Every socket needs a listener of its own; the loop below learns of the error as well.
    from.on('error', () => {});
    try {
      for await (const bytes of from.iterator({ destroyOnReturn: false })) {
        if (this.#proxy.delayMs > 0) await delay(this.#proxy.delayMs);
        await this.#proxy.passage(direction);
        await this.#passPieces(direction, bytes, to);
        await this.#throttle(bytes.length);
      }
      await this.#proxy.passage(direction);
      if (this.#isCut) return;
      await new Promise<void>((resolve) => to.end(resolve));
      if (direction === 'to-client' || to.readableEnded) this.#close({ isReset: false });
    } catch {
      await this.#proxy.passage(direction);
      this.#close({ isReset: true });
    }
  }

  async #throttle(length: number): Promise<void> {
    const rate = this.#proxy.bytesPerSecond;
    if (rate > 0) await delay((length / rate) * 1_000);
  }

  async #passPieces(direction: Direction, bytes: Buffer, to: Socket): Promise<void> {
    if (this.#isCut) return;
    for (const piece of this.#wire.take(direction, bytes)) {
      await this.#pass(piece, to);
      if (this.#isCut) return;
    }
  }

  async #pass({ bytes, cutBy }: Piece, to: Socket): Promise<void> {
    if (cutBy) {
      if (bytes.length > 0) {
        await new Promise((resolve) => to.write(bytes, resolve));
        // A reset throws away what the client's kernel has not been given yet.
        await new Promise((resolve) => setImmediate(resolve));
      }
      this.cut({ isCounted: true, by: cutBy });
    } else if (bytes.length > 0 && !to.write(bytes)) {
      await drained(to);
    }
  }
}

async function drained(socket: Socket): Promise<void> {
  if (socket.destroyed) return;
  await new Promise<void>((resolve) => {
    const done = () => {
      socket.off('drain', done).off('close', done);
      resolve();
    };
    socket.on('drain', done).on('close', done);
  });
}
