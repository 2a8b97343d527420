import { fromBinary } from '@bufbuild/protobuf';
import {
  type WriteTerminalRequest,
  WriteTerminalRequestSchema,
  WriteTerminalResponseSchema,
} from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { EnvelopeTracker, type HttpHead } from './http-tracker.ts';
import type { ProxiedCall } from './proxied-call.ts';

/** Unary bodies are kept up to this; ours are at most 256 KiB. */
const MAX_KEPT_BYTES = 512 * 1024;

/** One HTTP request and its answer, as far as they have passed a proxy. */
export class HttpCall implements ProxiedCall {
  readonly protocol = 'http';
  readonly path: string;
  readonly method: string;
  readonly requestHead: HttpHead;
  requestEnded = false;
  responseHead: HttpHead | undefined;
  responseEnded = false;
  /** What passed towards the client, prefix by prefix. */
  readonly envelopes = new EnvelopeTracker();
  isReconnect = false;
  isResumed = false;
  readonly isInsideRequest = false;
  readonly #request: Buffer[] = [];
  readonly #response: Buffer[] = [];
  #kept = 0;

  constructor(head: HttpHead) {
    this.requestHead = head;
    this.path = head.startLine.split(' ')[1] ?? '';
    this.method = this.path.split('?')[0]?.split('/').at(-1) ?? this.path;
  }

  get status(): number {
    return Number(this.responseHead?.startLine.split(' ')[1] ?? 0);
  }

  get isStream(): boolean {
    const type = this.responseHead?.headers.get('content-type') ?? '';
    return /^application\/(connect\+|grpc)/.test(type) && this.status === 200;
  }

  get isInside(): boolean {
    return this.envelopes.isInside;
  }

  get isLiveStream(): boolean {
    return this.isStream && !this.responseEnded && this.envelopes.complete > 0;
  }

  get requestBody(): Buffer {
    return Buffer.concat(this.#request);
  }

  takeRequest(bytes: Buffer): void {
    this.#keep(this.#request, bytes);
  }

  takeResponse(bytes: Buffer): void {
    if (this.isStream) this.envelopes.push(bytes);
    else this.#keep(this.#response, bytes);
  }

  writeRequest(): WriteTerminalRequest | undefined {
    if (this.method !== 'WriteTerminal' || !this.requestEnded) return undefined;
    if (this.requestHead.headers.get('content-type') !== 'application/proto') return undefined;
    return fromBinary(WriteTerminalRequestSchema, this.requestBody);
  }

  isDuplicate(): boolean {
    if (this.method !== 'WriteTerminal' || this.status !== 200) return false;
    return fromBinary(WriteTerminalResponseSchema, Buffer.concat(this.#response)).duplicate;
  }

  #keep(into: Buffer[], bytes: Buffer): void {
    this.#kept += bytes.length;
    if (this.#kept <= MAX_KEPT_BYTES) into.push(Buffer.from(bytes));
  }
}
