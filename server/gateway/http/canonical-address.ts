import type { HttpRequest } from '../../rpc/connect-node.ts';

/** Names of this machine. A browser keeps their cookies apart, so a page must always be opened at the same one. */
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/**
 * Where a page must be opened instead: a gateway at `http://localhost:4000` was called by another
 * name of this machine. Undefined where it is. Other names are left alone: a proxy in front may have
 * put its own in, and a redirect would never end.
 */
export function canonicalAddress(request: HttpRequest, publicUrl: string): string | undefined {
  const own = new URL(publicUrl);
  if (!LOOPBACK.has(own.hostname)) return undefined;
  const authority = 'authority' in request ? request.headers[':authority'] : request.headers.host;
  const name = (authority ?? '').toLowerCase().replace(/:\d+$/, '');
  if (name === own.hostname || !LOOPBACK.has(name)) return undefined;
  const path = request.url ?? '/';
  return path.startsWith('/') ? `${own.origin}${path}` : own.origin;
}
