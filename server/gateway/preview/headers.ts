import type { HttpRequest } from '../../rpc/connect-node.ts';
import type { PreviewPort } from '../auth/preview-pass.ts';
import type { CredentialSpotter } from './credential-spotter.ts';
import { ownHostCookie, withoutOwnCookies } from './preview-cookies.ts';
import type { PreviewHosts } from './preview-hosts.ts';

/** Header names and values, one after the other, as Node.js has them in `rawHeaders`. */
export type RawHeaders = readonly string[];

/** Headers of one connection, RFC 9110 section 7.6.1, beside those that `Connection` names. */
const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'transfer-encoding',
  'upgrade',
]);
/** Headers of a request that the gateway writes itself, or has dealt with. */
const REPLACED: ReadonlySet<string> = new Set([
  'content-length',
  'expect',
  'forwarded',
  'host',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
]);
/** What no trailer may say, RFC 9110 section 6.5.1. */
const NO_TRAILERS: ReadonlySet<string> = new Set([
  'content-length',
  'host',
  'set-cookie',
  'trailer',
]);
const OWN_HEADER = /^x-computesdk-/;
/** The address that a program which was asked for `localhost` gives itself. */
const LOCAL_URL = /^https?:\/\/(?:localhost|127\.0\.0\.1|\[::1\])(?::(\d+))?(?=[/?#]|$)/i;

export type RewriteOptions = {
  readonly at: PreviewPort;
  readonly hosts: PreviewHosts;
  readonly spotter: CredentialSpotter;
  /** Which Host and Origin the program gets. */
  readonly hostOf: (at: PreviewPort) => 'localhost' | 'preserved';
};

/** The headers of a request as the program in the sandbox gets them: without our credentials, and mostly as for `localhost`. */
export function requestHeaders(
  request: HttpRequest,
  client: string,
  options: RewriteOptions,
): string[] {
  const { at, hosts, spotter } = options;
  const own = new URL(hosts.originOf(at)).host;
  const isPreserved = options.hostOf(at) === 'preserved';
  const headers = ['Host', isPreserved ? own : `localhost:${at.port}`];
  const cookies: string[] = [];
  for (const [name, value, lower] of endToEnd(request.rawHeaders)) {
    if (lower.startsWith(':') || REPLACED.has(lower) || OWN_HEADER.test(lower)) continue;
    if (spotter.isIn(lower, value)) continue;
    if (lower === 'cookie') cookies.push(value);
    else if (lower === 'origin' && !isPreserved) headers.push(name, localOrigin(value, options));
    else headers.push(name, value);
  }
  // HTTP/2 splits the header; one of HTTP/1.1 is whole.
  const cookie = withoutOwnCookies(cookies.join('; '));
  if (cookie !== undefined) headers.push('Cookie', cookie);
  if (/\btrailers\b/i.test(String(request.headers['te'] ?? ''))) headers.push('TE', 'trailers');
  headers.push('X-Forwarded-Host', own);
  headers.push('X-Forwarded-Proto', hosts.scheme, 'X-Forwarded-For', client);
  return headers;
}

/** The headers of a program's answer as a browser gets them. */
export function responseHeaders(rawHeaders: RawHeaders, options: RewriteOptions): string[] {
  const headers: string[] = [];
  for (const [name, value, lower] of endToEnd(rawHeaders)) {
    const kept = answerValue(lower, value, options);
    if (kept !== undefined) headers.push(name, kept);
  }
  return headers;
}

/** Trailers as they may be passed on. Undefined: there are none. */
export function passedTrailers(rawTrailers: RawHeaders): Record<string, string> | undefined {
  const trailers: Record<string, string> = {};
  for (const [, value, lower] of endToEnd(rawTrailers)) {
    if (NO_TRAILERS.has(lower) || OWN_HEADER.test(lower)) continue;
    const before = trailers[lower];
    trailers[lower] = before === undefined ? value : `${before}, ${value}`;
  }
  return Object.keys(trailers).length === 0 ? undefined : trailers;
}

function answerValue(
  name: string,
  value: string,
  { at, hosts }: RewriteOptions,
): string | undefined {
  switch (name) {
    case 'set-cookie':
      return ownHostCookie(value);
    case 'location':
    case 'content-location':
      return value.replace(LOCAL_URL, (url, port = '80') =>
        Number(port) === at.port ? hosts.originOf(at) : url,
      );
    case 'clear-site-data':
      return withoutCookieClearing(value);
    // It would speak for the gateway's port.
    case 'alt-svc':
      return undefined;
    default:
      return OWN_HEADER.test(name) ? undefined : value;
  }
}

/** Clearing cookies would clear those of every host of the preview domain. */
function withoutCookieClearing(value: string): string | undefined {
  const kept = value
    .split(',')
    .map((part) => part.trim())
    .flatMap((part) => (part === '"*"' ? ['"cache"', '"storage"'] : [part]))
    .filter((part) => part !== '"cookies"' && part !== '');
  return kept.length === 0 ? undefined : kept.join(', ');
}

function localOrigin(origin: string, { at, hosts }: RewriteOptions): string {
  if (!URL.canParse(origin) || new URL(origin).hostname !== hosts.nameOf(at)) return origin;
  return `http://localhost:${at.port}`;
}

/** Every header that is not about one connection: its name, value, and name in lower case. */
function endToEnd(raw: RawHeaders): [string, string, string][] {
  const all: [string, string, string][] = [];
  const named = new Set<string>();
  for (let index = 0; index < raw.length; index += 2) {
    const name = raw[index] ?? '';
    const value = raw[index + 1] ?? '';
    const lower = name.toLowerCase();
    if (lower === 'connection')
      for (const word of value.split(',')) named.add(word.trim().toLowerCase());
    all.push([name, value, lower]);
  }
  return all.filter(([, , lower]) => !HOP_BY_HOP.has(lower) && !named.has(lower));
}
