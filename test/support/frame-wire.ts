import { create, fromBinary } from '@bufbuild/protobuf';
import { decodeFrame, encodeFrame } from '../../frames/frame.ts';
import { type Frame, type Open, OpenSchema } from '../../gen/computesdk/v1/frame_pb.ts';
import { StreamTerminalInputResponseSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import type { ChaosProxy } from './chaos-proxy.ts';
import { FramedCall } from './framed-call.ts';
import { envelope } from './raw-call.ts';
import { StreamedInputs } from './streamed-inputs.ts';
import {
  OPCODE,
  type WebSocketFrame,
  WebSocketReader,
  webSocketFrame,
} from './web-socket-frames.ts';
import { type Direction, NOTHING, type Piece, type Wire } from './wire.ts';

/** The bytes before a message in its envelope. */
const ENVELOPE_HEAD_BYTES = 5;
/** The hello and its welcome are no call's; they are kept under the connection's own stream. */
const HELLO_STREAM = 0;

/** The frames of a WebSocket. Each passes when all of it has come, so that what it is decides what passes of it. */
export class FrameWire implements Wire {
  readonly #proxy: ChaosProxy;
  readonly #readers: Readonly<Record<Direction, WebSocketReader>> = {
    'to-server': new WebSocketReader(),
    'to-client': new WebSocketReader(),
  };
  readonly #calls = new Map<number, FramedCall>();
  readonly #inputs = new Map<number, StreamedInputs>();

  constructor(proxy: ChaosProxy) {
    this.#proxy = proxy;
  }

  get calls(): readonly FramedCall[] {
    return [
      ...this.#calls.values(),
      ...[...this.#inputs.values()].flatMap(({ unanswered }) => unanswered),
    ];
  }

  *take(direction: Direction, bytes: Buffer): Generator<Piece> {
    for (const frame of this.#readers[direction].push(bytes)) {
      if (frame.opcode !== OPCODE.binary) yield { bytes: frame.bytes };
      else if (direction === 'to-server') yield this.#takeRequest(frame);
      else yield* this.#takeAnswers(frame);
    }
  }

  #takeRequest({ bytes, payload }: WebSocketFrame): Piece {
    const { stream, body } = decodeFrame(payload);
    switch (body.case) {
      case 'hello':
        return this.#begin(HELLO_STREAM, new FramedCall(), bytes);
      case 'open': {
        const call = new FramedCall(body.value);
        const piece = this.#begin(stream, call, bytes);
        if (call.method === 'StreamTerminalInput') this.#inputs.set(stream, new StreamedInputs());
        if (piece.cutBy || call.method !== 'AttachTerminal') return piece;
        return { bytes: this.#rewritten(stream, call, body.value) ?? bytes };
      }
      case 'message': {
        const input = this.#inputs.get(stream)?.add(body.value);
        return input ? this.#pass(input, bytes) : { bytes };
      }
      case 'cancel':
        this.#end(stream);
        return { bytes };
      default:
        return { bytes };
    }
  }

  #begin(stream: number, call: FramedCall, bytes: Buffer): Piece {
    this.#calls.set(stream, call);
    return this.#pass(call, bytes);
  }

  #pass(call: FramedCall, bytes: Buffer): Piece {
    this.#proxy.noteCall(call);
    const fault = this.#proxy.plan.onRequest?.(call);
    const cutAfter = fault && 'cutAfterBytes' in fault ? fault.cutAfterBytes : undefined;
    if (cutAfter !== undefined && cutAfter < bytes.length) {
      call.isInsideRequest = cutAfter > 0;
      return { bytes: bytes.subarray(0, cutAfter), cutBy: call };
    }
    call.requestEnded = true;
    this.#proxy.noteRequestEnd(call);
    if (fault && 'swallowThenCutAllMs' in fault)
      this.#proxy.swallowThenCutAll(fault.swallowThenCutAllMs);
    return { bytes, cutBy: cutAfter === undefined ? undefined : call };
  }

  #rewritten(stream: number, call: FramedCall, open: Open): Buffer | undefined {
    const { plan } = this.#proxy;
    if (!plan.rewriteAttach || !open.message) return undefined;
    const body = plan.rewriteAttach(envelope(open.message), call);
    const message = body.subarray(ENVELOPE_HEAD_BYTES);
    const value = create(OpenSchema, { ...open, message });
    return webSocketFrame(OPCODE.binary, encodeFrame(stream, { case: 'open', value }), 'client');
  }

  /** A batch passes as it is, unless something happens to one of its frames: then each is one of its own. */
  *#takeAnswers({ bytes, payload }: WebSocketFrame): Generator<Piece> {
    const frame = decodeFrame(payload);
    if (frame.body.case !== 'batch') {
      yield this.#takeAnswer(frame, bytes);
      return;
    }
    const pieces: Piece[] = [];
    let isWhole = true;
    for (const part of frame.body.value.frames) {
      const own = webSocketFrame(OPCODE.binary, part, 'server');
      const piece = this.#takeAnswer(decodeFrame(part), own);
      pieces.push(piece);
      isWhole &&= piece.bytes === own && !piece.cutBy;
      if (piece.cutBy) break;
    }
    if (isWhole) yield { bytes };
    else yield* pieces;
  }

  #takeAnswer({ stream, body }: Frame, bytes: Buffer): Piece {
    if (body.case === 'ended') for (const each of [...this.#calls.keys()]) this.#end(each);
    const call = this.#calls.get(stream);
    if (!call) return { bytes };
    switch (body.case) {
      case 'head':
        call.isStream = true;
        return this.#isLost(call) ? { bytes: NOTHING, cutBy: call } : { bytes };
      case 'message': {
        const inputs = this.#inputs.get(stream);
        if (inputs) return this.#takeInputAnswer(inputs, body.value, bytes);
        return this.#takeMessage(call, bytes);
      }
      case 'welcome':
      case 'end': {
        if (body.case === 'end') call.answer = body.value.message;
        if (call.isDuplicate()) this.#proxy.counters.duplicates++;
        if (!call.isStream && this.#isLost(call)) return { bytes: NOTHING, cutBy: call };
        // The call of a lost answer is still under way for its client.
        if (this.#proxy.isSwallowing && !call.isStream) return { bytes: NOTHING };
        this.#end(stream);
        return { bytes };
      }
      default:
        return { bytes };
    }
  }

  #takeInputAnswer(inputs: StreamedInputs, answer: Uint8Array, bytes: Buffer): Piece {
    if (fromBinary(StreamTerminalInputResponseSchema, answer).duplicate)
      this.#proxy.counters.duplicates++;
    // The input of a lost answer is still under way for its client.
    if (this.#proxy.isSwallowing) return { bytes: NOTHING };
    const input = inputs.takeAnswered();
    if (input) this.#proxy.noteCallEnd(input, { isBroken: false });
    return { bytes };
  }

  #takeMessage(call: FramedCall, bytes: Buffer): Piece {
    const cutAfter = this.#proxy.plan.onResponseBytes?.(call, bytes.length);
    if (cutAfter !== undefined && cutAfter < bytes.length) {
      call.isInside = cutAfter > 0;
      return { bytes: bytes.subarray(0, cutAfter), cutBy: call };
    }
    call.messages++;
    this.#proxy.noteResumed(call);
    return { bytes, cutBy: cutAfter === undefined ? undefined : call };
  }

  #isLost(call: FramedCall): boolean {
    return this.#proxy.plan.onResponse?.(call) === 'cut';
  }

  #end(stream: number): void {
    const call = this.#calls.get(stream);
    if (!call) return;
    this.#calls.delete(stream);
    for (const input of this.#inputs.get(stream)?.unanswered ?? [])
      this.#proxy.noteCallEnd(input, { isBroken: false });
    this.#inputs.delete(stream);
    this.#proxy.noteCallEnd(call, { isBroken: false });
  }
}
