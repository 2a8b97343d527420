import type { Http2Session } from 'node:http2';

/** Resolves with whether the client has read all that was sent before it was asked for. */
type Receipt = Promise<boolean>;

type Receipts = {
  /** The ping under way. It says nothing of what was sent after it. */
  readonly current: Receipt;
  /** The one after it, which everybody shares who asks meanwhile. */
  next: Receipt | undefined;
};

const receipts = new WeakMap<Http2Session, Receipts>();

/**
 * Asks a client over HTTP/2 whether it has read everything up to here. However many ask at once, at
 * most one ping is under way: Node.js fails those beyond ten. False when the connection ends first.
 */
export function readReceipt(session: Http2Session): Receipt {
  const known = receipts.get(session);
  if (known) {
    known.next ??= known.current.then(() => readReceipt(session));
    return known.next;
  }
  const current = ping(session);
  receipts.set(session, { current, next: undefined });
  void current.then(() => receipts.delete(session));
  return current;
}

function ping(session: Http2Session): Receipt {
  if (session.destroyed) return Promise.resolve(false);
  return new Promise((resolve) => {
    // Fails when the session is destroyed, too.
    session.ping((error) => resolve(error === null));
  });
}
