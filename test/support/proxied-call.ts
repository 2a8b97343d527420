import type { WriteTerminalRequest } from '../../gen/computesdk/v1/terminal_service_pb.ts';

/** One call and its answer, as far as they have passed a proxy. */
export interface ProxiedCall {
  /** How it travels. */
  readonly protocol: 'http' | 'frames';
  /**
   * The RPC's name, or the end of the path where it is none: `socket` is the request for a WebSocket.
   * `hello` is the frame with the credential, which a welcome answers.
   */
  readonly method: string;
  /** Whether all of the request has passed. */
  readonly requestEnded: boolean;
  /** Whether the answer has several messages. Known once its head has come. */
  readonly isStream: boolean;
  /** A stream whose first message has passed. */
  readonly isLiveStream: boolean;
  /** Whether the last byte that passed towards the client was inside of an envelope or frame. */
  readonly isInside: boolean;
  /** Whether the last byte that passed towards the server was inside of a frame. */
  readonly isInsideRequest: boolean;
  /** Whether a terminal's stream had broken and was not resumed when this call began. */
  isReconnect: boolean;
  /** Whether such a call has brought its first message. */
  isResumed: boolean;
  /** The input that this call carries, once its request has passed. */
  writeRequest(): WriteTerminalRequest | undefined;
  /** Whether the server answered that it had seen this input before. */
  isDuplicate(): boolean;
}
