import type { ChaosProxy } from './chaos-proxy.ts';
import { FrameWire } from './frame-wire.ts';
import { HttpCall } from './http-call.ts';
import { type HttpHead, HttpTracker } from './http-tracker.ts';
import type { ProxiedCall } from './proxied-call.ts';
import { type Direction, NOTHING, type Piece, type Wire } from './wire.ts';

/** HTTP/1.1, one call at a time, until a WebSocket takes the connection over. */
export class HttpWire implements Wire {
  readonly #proxy: ChaosProxy;
  readonly #requests: HttpTracker;
  readonly #responses: HttpTracker;
  #call: HttpCall | undefined;
  /** The bytes of an attach request, held back until it can be rewritten as a whole. */
  #attachHead = '';
  #cutAfter: number | undefined;
  #isLosingAnswer = false;
  /** What the connection carries since it became a WebSocket. */
  #frames: FrameWire | undefined;

  constructor(proxy: ChaosProxy) {
    this.#proxy = proxy;
    this.#requests = new HttpTracker({
      onHead: (head) => this.#onRequest(head),
      onBody: (bytes) => this.#call?.takeRequest(bytes),
      onEnd: () => this.#onRequestEnd(),
    });
    this.#responses = new HttpTracker({
      onHead: (head) => this.#onResponse(head),
      onBody: (bytes) => this.#call?.takeResponse(bytes),
      onEnd: () => this.#onResponseEnd(),
      hasBody: (head) =>
        !/ (101|204|304) /.test(head.startLine) &&
        !this.#call?.requestHead.startLine.startsWith('HEAD'),
    });
  }

  get calls(): readonly ProxiedCall[] {
    return this.#frames?.calls ?? (this.#call ? [this.#call] : []);
  }

  *take(direction: Direction, bytes: Buffer): Generator<Piece> {
    if (this.#frames) yield* this.#frames.take(direction, bytes);
    else if (direction === 'to-server') yield this.#takeRequest(bytes);
    else {
      // The head of an answer passes for itself: it decides what may happen to the rest.
      const headLength = this.#responses.pushHead(bytes);
      yield this.#afterResponse(bytes.subarray(0, headLength));
      const rest = bytes.subarray(headLength);
      if (rest.length === 0) return;
      yield* this.#takeRest(rest);
    }
  }

  *#takeRest(rest: Buffer): Generator<Piece> {
    if (this.#frames) yield* this.#frames.take('to-client', rest);
    else yield this.#takeResponse(rest);
  }

  #takeRequest(bytes: Buffer): Piece {
    this.#requests.push(bytes);
    const cutAfter = this.#cutAfter;
    if (cutAfter !== undefined) {
      const call = this.#call;
      if (call) call.requestEnded = cutAfter >= bytes.length && call.requestEnded;
      return { bytes: bytes.subarray(0, cutAfter), cutBy: call };
    }
    if (this.#attachHead === '') return { bytes };
    return { bytes: this.#call?.requestEnded ? this.#rewritten(this.#call) : NOTHING };
  }

  #rewritten(call: HttpCall): Buffer {
    const body = this.#proxy.plan.rewriteAttach?.(call.requestBody, call) ?? call.requestBody;
    const head = this.#attachHead.replace(
      /\r\ncontent-length: *\d+/i,
      `\r\ncontent-length: ${body.length}`,
    );
    this.#attachHead = '';
    return Buffer.concat([Buffer.from(head, 'latin1'), body]);
  }

  #takeResponse(bytes: Buffer): Piece {
    const call = this.#call;
    const cutAfter = call?.isStream
      ? this.#proxy.plan.onResponseBytes?.(call, bytes.length)
      : undefined;
    const passed = cutAfter === undefined ? bytes : bytes.subarray(0, cutAfter);
    this.#responses.push(passed);
    if (call?.isLiveStream) this.#proxy.noteResumed(call);
    const piece = this.#afterResponse(passed);
    return cutAfter === undefined ? piece : { ...piece, cutBy: call };
  }

  /** What of the bytes that were tracked may pass. */
  #afterResponse(bytes: Buffer): Piece {
    if (this.#isLosingAnswer) return { bytes: NOTHING, cutBy: this.#call };
    const isSwallowed = this.#proxy.isSwallowing && this.#call && !this.#call.isStream;
    return { bytes: isSwallowed ? NOTHING : bytes };
  }

  #onRequest(head: HttpHead): void {
    const call = new HttpCall(head);
    this.#call = call;
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
    if (!this.#call) return;
    this.#call.requestEnded = true;
    this.#proxy.noteRequestEnd(this.#call);
  }

  #onResponse(head: HttpHead): void {
    if (!this.#call) return;
    this.#call.responseHead = head;
    this.#isLosingAnswer = this.#proxy.plan.onResponse?.(this.#call) === 'cut';
  }

  #onResponseEnd(): void {
    const call = this.#call;
    if (!call) return;
    call.responseEnded = true;
    if (call.isDuplicate()) this.#proxy.counters.duplicates++;
    // The call of a lost answer is still under way for its client.
    if (this.#isLosingAnswer || this.#proxy.isSwallowing) return;
    this.#call = undefined;
    if (call.status === 101) this.#frames = new FrameWire(this.#proxy);
    this.#proxy.noteCallEnd(call, { isBroken: false });
  }
}
