import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { AttachTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import type { Fault, FaultPlan } from './chaos-proxy.ts';
import type { ProxiedCall } from './proxied-call.ts';
import type { SeededRandom } from './scale.ts';

export type CutPlanOptions = {
  readonly random: SeededRandom;
  /** How many bytes of live streams pass between two cuts, on average. */
  readonly bytesPerCut: number;
  /** How many WriteTerminal calls pass between two cuts of input, on average. */
  readonly writesPerCut: number;
};

type Turns<T> = readonly [T, ...T[]];

/**
 * How often a stream is cut once more while it is being resumed, one live cut after the other. In turn
 * rather than by chance, as all that decides the share of a kind of fault: a few dozen of them suffice
 * then. Twice in a row at most, so that the client's backoff stays short.
 */
const RECONNECT_CUTS: Turns<number> = [1, 0, 2, 0, 1];
/** Whether a resumed stream is asked for from an earlier position. */
const IS_STALE: Turns<boolean> = [true, false, false];
const MAX_STALE_BYTES = 20_000;
/** What happens to an input that is hit: it does not arrive in full, or it does and its answer is lost. */
const IS_INPUT_LOST: Turns<boolean> = [false, false, true, false];
/** Long enough for 16 inputs to be in flight and applied, all of whose answers are then lost. */
const SWALLOW_MS = 40;
/** Longer than the frame around the first message of a stream, shorter than that message. */
const INSIDE_READY_BYTES = 20;
/** How often what precedes the calls of a WebSocket is cut, each way: its request and its hello, which comes later. */
const SOCKET_CHANCE: Readonly<Record<string, number>> = { socket: 0.12, hello: 0.2 };
/** Longer than the request for a WebSocket, and than its hello: a cut later than its end comes right after it. */
const MAX_SOCKET_BYTES = 600;
/** Shorter than a request to attach, in its frame. */
const INSIDE_ATTACH_BYTES = 60;

/**
 * Cuts live streams at seeded positions of their bytes, cuts what tries to resume them, cuts inputs
 * on their way, and loses the answers of inputs that were applied.
 */
export class CutPlan implements FaultPlan {
  /** How many attach requests were turned back to an earlier position. */
  staleAttaches = 0;
  isActive = true;
  readonly #options: CutPlanOptions;
  readonly #nextReconnectCuts = inTurn(RECONNECT_CUTS);
  readonly #nextIsStale = inTurn(IS_STALE);
  readonly #nextIsInputLost = inTurn(IS_INPUT_LOST);
  #bytesLeft: number;
  #inputsLeft: number;
  #reconnectCuts = 0;

  constructor(options: CutPlanOptions) {
    this.#options = options;
    this.#bytesLeft = this.#draw(options.bytesPerCut);
    this.#inputsLeft = this.#draw(options.writesPerCut);
  }

  onRequest(call: ProxiedCall): Fault | undefined {
    if (!this.isActive) return undefined;
    if (call.method === 'WriteTerminal') return this.#onInput();
    const chance = SOCKET_CHANCE[call.method];
    if (chance !== undefined) return this.#onSocket(call, chance);
    // One third of the cuts during a reconnect: the request itself does not arrive.
    const { random } = this.#options;
    if (!this.#isReconnectCut(call) || !random.chance(1 / 3)) return undefined;
    const isFramed = call.protocol === 'frames';
    return this.#reconnectCut({ cutAfterBytes: isFramed ? random.below(INSIDE_ATTACH_BYTES) : 0 });
  }

  onResponse(call: ProxiedCall): 'cut' | undefined {
    const chance = SOCKET_CHANCE[call.method] ?? 0.5;
    if (!this.isActive || !this.#isReconnectCut(call) || !this.#options.random.chance(chance))
      return undefined;
    return this.#reconnectCut('cut' as const);
  }

  onResponseBytes(call: ProxiedCall, length: number): number | undefined {
    if (!this.isActive) return undefined;
    if (!call.isLiveStream) {
      if (!this.#isReconnectCut(call)) return undefined;
      return this.#reconnectCut(Math.min(length, INSIDE_READY_BYTES));
    }
    this.#bytesLeft -= length;
    if (this.#bytesLeft > 0) return undefined;
    const cutAfter = length + this.#bytesLeft;
    this.#bytesLeft = this.#draw(this.#options.bytesPerCut);
    return Math.max(1, cutAfter);
  }

  onCut(call: ProxiedCall): void {
    if (call.isLiveStream) this.#reconnectCuts = this.#nextReconnectCuts();
  }

  /** Nothing in the contract keeps a reader from going back; what it has already must not count twice. */
  rewriteAttach(body: Buffer, call: ProxiedCall): Buffer {
    if (!this.isActive || !call.isReconnect) return body;
    const request = fromBinary(AttachTerminalRequestSchema, body.subarray(5));
    if (request.cursor === undefined || !this.#nextIsStale()) return body;
    const back = BigInt(1 + this.#options.random.below(MAX_STALE_BYTES));
    request.cursor = request.cursor > back ? request.cursor - back : 0n;
    this.staleAttaches++;
    const message = toBinary(AttachTerminalRequestSchema, request);
    const prefix = Buffer.alloc(5);
    prefix.writeUInt32BE(message.length, 1);
    return Buffer.concat([prefix, message]);
  }

  #onInput(): Fault | undefined {
    if (this.#inputsLeft-- > 0) return undefined;
    this.#inputsLeft = this.#draw(this.#options.writesPerCut);
    const { random } = this.#options;
    return this.#nextIsInputLost()
      ? { cutAfterBytes: random.below(200) }
      : { swallowThenCutAllMs: SWALLOW_MS };
  }

  #onSocket(call: ProxiedCall, chance: number): Fault | undefined {
    const { random } = this.#options;
    if (!this.#isReconnectCut(call) || !random.chance(chance)) return undefined;
    return this.#reconnectCut({ cutAfterBytes: random.below(MAX_SOCKET_BYTES) });
  }

  #isReconnectCut(call: ProxiedCall): boolean {
    const resumes = call.method === 'AttachTerminal' || call.method in SOCKET_CHANCE;
    return this.#reconnectCuts > 0 && call.isReconnect && resumes;
  }

  #reconnectCut<T>(cut: T): T {
    this.#reconnectCuts--;
    return cut;
  }

  /** From half of the average to one and a half: any position, but a number of cuts that can be relied on. */
  #draw(average: number): number {
    return Math.ceil(average / 2) + this.#options.random.below(average);
  }
}

/** Gives one value after the other, and the first again after the last. */
function inTurn<T>(turns: Turns<T>): () => T {
  let next = 0;
  return () => turns[next++ % turns.length] ?? turns[0];
}
