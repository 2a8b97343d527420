import { Code, ConnectError } from '@connectrpc/connect';
import { encodeFrame } from '../../../frames/frame.ts';
import { toWireError } from '../../../frames/wire-error.ts';
import type { Frame, Open } from '../../../gen/computesdk/v1/frame_pb.ts';
import { FrameServer } from '../../rpc/frame-server.ts';
import { socketContext } from '../rpc/call-context.ts';
import type { SocketIdentity } from './socket-identity.ts';
import type { SocketOrigin, SocketServices } from './socket-services.ts';

/** Headers of a request that say who calls, or from where: those of the WebSocket count. */
const IDENTIFYING: ReadonlySet<string> = new Set(['cookie', 'origin', 'host', 'forwarded']);

export type OwnCallsOptions = {
  readonly services: SocketServices;
  readonly from: SocketOrigin;
  readonly send: (frame: Uint8Array) => void;
  readonly identity: SocketIdentity;
};

/** The calls of one client that the gateway itself serves: those that are no streams. */
export class OwnCalls {
  readonly #options: OwnCallsOptions;
  readonly #server: FrameServer;
  readonly #streams = new Set<number>();

  constructor(options: OwnCallsOptions) {
    this.#options = options;
    const { gatewayFrames } = options.services;
    this.#server = new FrameServer({
      ...gatewayFrames,
      sink: { write: (parts) => options.send(Buffer.concat(parts)) },
    });
  }

  /** Whether the gateway serves the method. */
  serves(method: string): boolean {
    return this.#options.services.gatewayFrames.routes.has(method);
  }

  has(stream: number): boolean {
    return this.#streams.has(stream);
  }

  open(stream: number, open: Open): void {
    const { from } = this.#options;
    const header = this.#headerOf(open);
    if (header instanceof ConnectError) {
      this.#refuse(stream, header);
      return;
    }
    this.#streams.add(stream);
    const values = () => socketContext(from.sandboxId, from.client);
    this.#server.open(stream, open, { header, values }, () => this.#streams.delete(stream));
  }

  refuseUnknown(stream: number, method: string): void {
    const name = /^\/[\w.]+\/\w+$/.test(method) ? method.slice(1, 200) : 'of that name';
    const message = `there is no method ${name} on a WebSocket`;
    this.#refuse(stream, new ConnectError(message, Code.Unimplemented));
  }

  take(frame: Frame): boolean {
    return this.#server.take(frame);
  }

  close(): void {
    this.#server.close();
  }

  #refuse(stream: number, error: ConnectError): void {
    const end = { case: 'end', value: { error: toWireError(error) } } as const;
    this.#options.send(encodeFrame(stream, end));
  }

  /** The headers of a call as they would have come over HTTP. */
  #headerOf({ headers }: Open): Headers | ConnectError {
    const { from, identity } = this.#options;
    const header = new Headers();
    try {
      for (const { name, value } of headers) {
        const isOurs = IDENTIFYING.has(name.toLowerCase()) || /^x-forwarded-/i.test(name);
        if (!isOurs) header.append(name, value);
      }
    } catch {
      return new ConnectError('a header has an invalid name or value', Code.InvalidArgument);
    }
    const known = identity.authorization;
    if (known !== undefined && !header.has('authorization')) header.set('authorization', known);
    if (from.cookie !== undefined) header.set('cookie', from.cookie);
    if (from.origin !== undefined) header.set('origin', from.origin);
    return header;
  }
}
