import { cors } from '@connectrpc/connect';
import { DomainError } from '../../core/domain-error.ts';
import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';

/** How long a browser may remember that an origin may call, in seconds. The most that Chromium keeps. */
const PREFLIGHT_SECONDS = 7_200;
const ALLOWED_METHODS = cors.allowedMethods.join(', ');
const ALLOWED_HEADERS = [...cors.allowedHeaders, 'Authorization'].join(', ');
const EXPOSED_HEADERS = [...cors.exposedHeaders, 'Retry-After'].join(', ');
/** A label of a preview's host name: what runs in a sandbox must never call with a user's credentials. */
const PREVIEW_LABEL = /^\d+-sbx/;

export type OriginGuardOptions = {
  /** Canonical address of the gateway. Pages of its own origin may always call. */
  readonly publicUrl: string;
  /** Exact origins that may call, with cookies too. */
  readonly allowedOrigins: readonly string[];
};

/** Decides which web origins may call (CORS). */
export class OriginGuard {
  readonly #allowed: ReadonlySet<string>;
  /** Whether calls without a cookie may come from every origin. */
  readonly #open: boolean;

  constructor(options: OriginGuardOptions) {
    const own = new URL(options.publicUrl);
    this.#allowed = new Set([own.origin, ...options.allowedOrigins].filter(isAllowable));
    this.#open = isLoopback(own.hostname);
  }

  /**
   * Lets the request of an allowed origin pass, with the headers that let its page read the answer.
   * Returns why another one is refused. A request without an origin is from no page and passes.
   */
  check(request: HttpRequest, response: HttpResponse): DomainError | undefined {
    response.setHeader('Vary', 'Origin');
    const { origin } = request.headers;
    if (origin === undefined) return undefined;
    if (!this.#allows(origin, request)) return refusal(origin);
    response.setHeader('Access-Control-Allow-Origin', origin);
    // Only pages that were named may call with the cookie, and read the answers.
    if (this.#allowed.has(origin)) {
      response.setHeader('Access-Control-Allow-Credentials', 'true');
    }
    response.setHeader('Access-Control-Expose-Headers', EXPOSED_HEADERS);
    return undefined;
  }

  /**
   * How the page that opens a WebSocket stands: `listed` ones may use the browser's cookie, others
   * only a token. Returns why another one is refused. A request without an origin is from no page.
   */
  standingOf(origin: string | undefined): 'listed' | 'tokens only' | DomainError {
    if (origin !== undefined && this.#allowed.has(origin)) return 'listed';
    const isOpen = origin === undefined || (this.#open && isAllowable(origin));
    return isOpen ? 'tokens only' : refusal(origin);
  }

  #allows(origin: string, request: HttpRequest): boolean {
    if (this.#allowed.has(origin)) return true;
    return this.#open && request.headers.cookie === undefined && isAllowable(origin);
  }
}

/** Whether a request asks, on behalf of a page, which requests the page may make. */
export function isPreflight(request: HttpRequest): boolean {
  return (
    request.method === 'OPTIONS' &&
    request.headers.origin !== undefined &&
    request.headers['access-control-request-method'] !== undefined
  );
}

/** Answers a preflight whose origin is allowed. */
export function answerPreflight(response: HttpResponse): void {
  response.setHeader('Access-Control-Allow-Methods', ALLOWED_METHODS);
  response.setHeader('Access-Control-Allow-Headers', ALLOWED_HEADERS);
  response.setHeader('Access-Control-Max-Age', String(PREFLIGHT_SECONDS));
  response.statusCode = 204;
  response.end();
}

/** Whether `origin` is a web origin as browsers spell it, and no page that a sandbox serves. */
function isAllowable(origin: string): boolean {
  if (!/^https?:\/\//.test(origin) || !URL.canParse(origin)) return false;
  const url = new URL(origin);
  return (
    url.origin === origin && !url.hostname.split('.').some((label) => PREVIEW_LABEL.test(label))
  );
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '127.0.0.1' || hostname === '[::1]';
}

function refusal(origin: string): DomainError {
  // Whatever else a client put there, a credential perhaps, is not repeated.
  const isOrigin = URL.canParse(origin) && new URL(origin).origin === origin;
  const shown = isOrigin || origin === 'null' ? origin.slice(0, 200) : 'in the Origin header';
  return new DomainError(
    'ORIGIN_NOT_ALLOWED',
    `the origin ${shown} may not call this server; add it to COMPUTESDK_ALLOWED_ORIGINS if it should`,
  );
}
