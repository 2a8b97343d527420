import { connect, type Socket } from 'node:net';
import type { ChaosProxy } from './chaos-proxy.ts';
import { type HttpHead, HttpTracker } from './http-tracker.ts';
import { ProxiedCall } from './proxied-call.ts';
import { delay } from './until.ts';

/** Which way bytes go. */
export type Direction = 'to-server' | 'to-client';

/** One client's connection through a {@link ChaosProxy}. HTTP/1.1, one call at a time. */
export class ProxiedConnection {
  /** The call under way, from the first byte of its request to the last of its answer. */
  call: ProxiedCall | undefined;
  readonly #proxy: ChaosProxy;
  readonly #client: Socket;
  readonly #upstream: Socket;
  readonly #requests: HttpTracker;
  readonly #responses: HttpTracker;
  /** The bytes of an attach request, held back until it can be rewritten as a whole. */
  #attachHead = '';
  #cutAfter: number | undefined;
  #isLosingAnswer = false;
  #isCut = false;

  constructor(proxy: ChaosProxy, client: Socket) {
    this.#proxy = proxy;
    this.#client = client;
    this.#upstream = connect({
      port: proxy.targetPort,
      host: '127.0.0.1',
      noDelay: true,
      allowHalfOpen: true,
    });
    this.#requests = new HttpTracker({
      onHead: (head) => this.#onRequest(head),
      onBody: (bytes) => this.call?.takeRequest(bytes),
      onEnd: () => this.#onRequestEnd(),
    });
    this.#responses = new HttpTracker({
      onHead: (head) => this.#onResponse(head),
      onBody: (bytes) => this.call?.takeResponse(bytes),
      onEnd: () => this.#onResponseEnd(),
      hasBody: (head) =>
        !/ (204|304) /.test(head.startLine) && !this.call?.requestHead.startLine.startsWith('HEAD'),
    });
    void this.#pump('to-server', client, this.#upstream);
    void this.#pump('to-client', this.#upstream, client);
  }

  /** Cuts both sides at once, by a reset or a FIN. */
  cut(options: { isCounted: boolean }): void {
    if (this.#isCut) return;
    const isReset = this.#proxy.isReset();
    if (options.isCounted && this.call) this.#count(this.call, isReset);
    const call = this.call;
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
    if (call.isLiveStream) counters.liveStreamCuts++;
    if (call.envelopes.isInside) counters.insideEnvelopeCuts++;
    if (call.isReconnect && !call.isLiveStream) counters.reconnectCuts++;
  }

  #close({ isReset }: { isReset: boolean }): void {
    if (this.#isCut) return;
    this.#isCut = true;
    for (const socket of [this.#client, this.#upstream]) {
      // libuv refuses to reset what is being ended, and Node.js then leaves it open for ever.
      const isEnding = socket.writableEnded && !socket.writableFinished;
      if (isReset && !socket.connecting && !isEnding) socket.resetAndDestroy();
      else socket.destroy();
    }
    if (this.call) this.#proxy.noteCallEnd(this.call, { isBroken: true });
    this.call = undefined;
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
    if (direction === 'to-server') return this.#pass(this.#takeRequest(bytes), to);
    // The head of an answer passes for itself: it decides what may happen to the rest.
    const headLength = this.#responses.pushHead(bytes);
    await this.#pass(this.#afterResponse(bytes.subarray(0, headLength)), to);
    const rest = bytes.subarray(headLength);
    if (rest.length > 0 && !this.#isCut) await this.#pass(this.#takeResponse(rest), to);
  }

  async #pass(passed: Buffer, to: Socket): Promise<void> {
    if (this.#isCut || passed.length === 0) return;
    const isCutNow = this.#cutAfter !== undefined;
    if (isCutNow) {
      this.#cutAfter = undefined;
      await new Promise((resolve) => to.write(passed, resolve));
      // A reset throws away what the client's kernel has not been given yet.
      await new Promise((resolve) => setImmediate(resolve));
      this.cut({ isCounted: true });
    } else if (!to.write(passed)) {
      await drained(to);
    }
  }

  #takeRequest(bytes: Buffer): Buffer {
    this.#requests.push(bytes);
    if (this.#cutAfter !== undefined) {
      const call = this.call;
      if (call) call.requestEnded = this.#cutAfter >= bytes.length && call.requestEnded;
      if (this.#cutAfter === 0) {
        this.#cutAfter = undefined;
        this.cut({ isCounted: true });
      }
      return bytes.subarray(0, this.#cutAfter);
    }
    if (this.#attachHead === '') return bytes;
    return this.call?.requestEnded ? this.#rewritten(this.call) : bytes.subarray(bytes.length);
  }

  #rewritten(call: ProxiedCall): Buffer {
    const body = this.#proxy.plan.rewriteAttach?.(call.requestBody, call) ?? call.requestBody;
    const head = this.#attachHead.replace(
      /\r\ncontent-length: *\d+/i,
      `\r\ncontent-length: ${body.length}`,
    );
    this.#attachHead = '';
    return Buffer.concat([Buffer.from(head, 'latin1'), body]);
  }

  #takeResponse(bytes: Buffer): Buffer {
    const call = this.call;
    const cutAfter = call?.isStream
      ? this.#proxy.plan.onResponseBytes?.(call, bytes.length)
      : undefined;
    const passed = cutAfter === undefined ? bytes : bytes.subarray(0, cutAfter);
    this.#responses.push(passed);
    if (cutAfter !== undefined) this.#cutAfter = cutAfter;
    if (call?.isLiveStream) this.#proxy.noteResumed(call);
    return this.#afterResponse(passed);
  }

  /** What of the bytes that were tracked may pass. */
  #afterResponse(bytes: Buffer): Buffer {
    const nothing = bytes.subarray(bytes.length);
    if (this.#isLosingAnswer) {
      this.cut({ isCounted: true });
      return nothing;
    }
    const isSwallowed = this.#proxy.isSwallowing && this.call && !this.call.isStream;
    return isSwallowed ? nothing : bytes;
  }

  #onRequest(head: HttpHead): void {
    const call = new ProxiedCall(head);
    this.call = call;
    this.#proxy.noteCall(call);
    const fault = this.#proxy.plan.onRequest?.(call);
    if (fault && 'cutAfterBytes' in fault) this.#cutAfter = fault.cutAfterBytes;
    else if (fault) this.#proxy.swallowThenCutAll(fault.swallowThenCutAllMs);
    if (
      call.method === 'AttachTerminal' &&
      this.#proxy.plan.rewriteAttach &&
      head.headers.has('content-length')
    ) {
      const lines = [...head.headers].map(([name, value]) => `${name}: ${value}`);
      this.#attachHead = `${[head.startLine, ...lines].join('\r\n')}\r\n\r\n`;
    }
  }

  #onRequestEnd(): void {
    if (!this.call) return;
    this.call.requestEnded = true;
    this.#proxy.noteRequestEnd(this.call);
  }

  #onResponse(head: HttpHead): void {
    if (!this.call) return;
    this.call.responseHead = head;
    this.#isLosingAnswer = this.#proxy.plan.onResponse?.(this.call) === 'cut';
  }

  #onResponseEnd(): void {
    const call = this.call;
    if (!call) return;
    call.responseEnded = true;
    if (call.isDuplicate()) this.#proxy.counters.duplicates++;
    // The call of a lost answer is still under way for its client.
    if (this.#isLosingAnswer || this.#proxy.isSwallowing) return;
    this.call = undefined;
    this.#proxy.noteCallEnd(call, { isBroken: false });
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
