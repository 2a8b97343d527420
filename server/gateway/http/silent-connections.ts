import type { Socket } from 'node:net';
import type { HttpRequest } from '../../rpc/connect-node.ts';
import { bucketOf, isLoopbackAddress, normalAddress } from './client-address.ts';

/** Connections of one address (IPv6: of one /64 network) that have not made a request yet. More are closed at once. */
export const MAX_SILENT_CONNECTIONS = 64;
/** The same for this machine and for trusted proxies, behind which there are many clients. */
export const MAX_SILENT_LOCAL_CONNECTIONS = 4_096;

/** Limits how many connections one address may open and leave silent. */
export class SilentConnections {
  readonly #isTrusted: (address: string) => boolean;
  /** The silent connections, by peer: its bucket and port. */
  readonly #silent = new Map<string, Socket>();
  /** How many of {@link #silent} each bucket has. Never 0. */
  readonly #counts = new Map<string, number>();

  /** `isTrusted` tells trusted proxies. */
  constructor(isTrusted: (address: string) => boolean) {
    this.#isTrusted = isTrusted;
  }

  /** How many connections are silent. */
  get size(): number {
    return this.#silent.size;
  }

  /** Takes a connection that was just accepted. */
  add(socket: Socket): void {
    const address = normalAddress(socket.remoteAddress ?? '');
    // Gone again already.
    if (address === undefined) return;
    const bucket = bucketOf(address);
    const key = `${address} ${socket.remotePort}`;
    const count = (this.#counts.get(bucket) ?? 0) + 1;
    this.#counts.set(bucket, count);
    this.#silent.set(key, socket);
    socket.once('close', () => this.#forget(key, bucket, socket));
    const isLocal = isLoopbackAddress(address) || this.#isTrusted(address);
    if (count <= (isLocal ? MAX_SILENT_LOCAL_CONNECTIONS : MAX_SILENT_CONNECTIONS)) return;
    // Many may be accepted before the first is read from. Whoever has spoken by then may stay.
    afterNextRead(() => {
      if (this.#silent.get(key) === socket) socket.destroy();
    });
  }

  /** Notes that a connection has made a request. */
  onRequest(request: HttpRequest): void {
    if (this.#silent.size === 0) return;
    const { remoteAddress, remotePort } = request.socket ?? {};
    const address = normalAddress(remoteAddress ?? '');
    if (address === undefined) return;
    const key = `${address} ${remotePort}`;
    const socket = this.#silent.get(key);
    if (socket) this.#forget(key, bucketOf(address), socket);
  }

  #forget(key: string, bucket: string, socket: Socket): void {
    // Another connection may have the same port by now.
    if (this.#silent.get(key) !== socket) return;
    this.#silent.delete(key);
    const count = (this.#counts.get(bucket) ?? 1) - 1;
    if (count > 0) this.#counts.set(bucket, count);
    else this.#counts.delete(bucket);
  }
}

/** Runs a task when what has arrived for accepted connections was read: one turn of the loop later. */
function afterNextRead(task: () => void): void {
  setImmediate(() => setImmediate(task));
}
