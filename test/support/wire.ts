import type { ProxiedCall } from './proxied-call.ts';

/** Which way bytes go. */
export type Direction = 'to-server' | 'to-client';

/** Bytes that pass on. With `cutBy` the connection is cut after them, on account of that call. */
export type Piece = { readonly bytes: Buffer; readonly cutBy?: ProxiedCall | undefined };

/** What the bytes of a connection mean, and what becomes of them. */
export interface Wire {
  /** The calls under way, each from the first byte of its request to the last of its answer. */
  readonly calls: readonly ProxiedCall[];
  /** Takes what arrived. Each piece is asked for after the one before it has passed. */
  take(direction: Direction, bytes: Buffer): Iterable<Piece>;
}

/** What passes of bytes that are kept back. */
export const NOTHING: Buffer = Buffer.alloc(0);
