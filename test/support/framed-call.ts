import { fromBinary } from '@bufbuild/protobuf';
import type { Open } from '../../gen/computesdk/v1/frame_pb.ts';
import {
  type WriteTerminalRequest,
  WriteTerminalRequestSchema,
  WriteTerminalResponseSchema,
} from '../../gen/computesdk/v1/terminal_service_pb.ts';
import type { ProxiedCall } from './proxied-call.ts';

/** One call in the frames of a WebSocket and its answer. */
export class FramedCall implements ProxiedCall {
  readonly protocol = 'frames';
  readonly method: string;
  requestEnded = false;
  isStream = false;
  isInside = false;
  isInsideRequest = false;
  isReconnect = false;
  isResumed = false;
  /** Messages of a stream that passed. */
  messages = 0;
  /** The answer of a call with one message. */
  answer: Uint8Array | undefined;
  readonly #request: Uint8Array;

  /** Without an opening frame it is the one that says hello. */
  constructor(open?: Open) {
    this.method = open?.method.split('/').at(-1) ?? 'hello';
    this.#request = open?.message ?? new Uint8Array();
  }

  get isLiveStream(): boolean {
    return this.messages > 0;
  }

  writeRequest(): WriteTerminalRequest | undefined {
    if (this.method !== 'WriteTerminal' || !this.requestEnded) return undefined;
    return fromBinary(WriteTerminalRequestSchema, this.#request);
  }

  isDuplicate(): boolean {
    if (this.method !== 'WriteTerminal' || !this.answer) return false;
    return fromBinary(WriteTerminalResponseSchema, this.answer).duplicate;
  }
}
