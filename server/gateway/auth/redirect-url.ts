import { invalidArgument } from '../../core/domain-error.ts';
import { redactAddress } from '../../core/redact.ts';

/** The longest redirect, in characters. */
const MAX_REDIRECT_CHARS = 2048;
/** Where a browser goes if the owner does not say. */
const DEFAULT_REDIRECT = '/workspace';

/** The origins that a magic link may lead to. */
export type RedirectOrigins = {
  /** Where paths lead. */
  readonly appOrigin: string;
  /** Where our own pages are. */
  readonly publicUrl: string;
  /** Exact origins of absolute addresses. */
  readonly allowedOrigins: readonly string[];
};

/**
 * Where a magic link leads, as an absolute address in the one spelling that browsers and we agree on.
 * Throws INVALID_ARGUMENT for what could lead anywhere else.
 */
export function checkRedirectUrl(text: string, origins: RedirectOrigins): string {
  if (text.length > MAX_REDIRECT_CHARS) {
    throw invalidArgument('redirectUrl', `must have at most ${MAX_REDIRECT_CHARS} characters`);
  }
  // Browsers drop some of these and take others for slashes: nothing that needs them is meant well.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f\\]/.test(text)) {
    throw invalidArgument(
      'redirectUrl',
      'must not contain control characters or backslashes; percent-encode them',
    );
  }
  const url = parse(text === '' ? DEFAULT_REDIRECT : text, origins.appOrigin);
  const isWeb = url?.protocol === 'https:' || url?.protocol === 'http:';
  if (!url || !isWeb || url.username !== '' || url.password !== '') {
    throw invalidArgument(
      'redirectUrl',
      'must be a path such as /workspace, or an address such as https://app.example.com/workspace',
    );
  }
  const own = [origins.appOrigin, new URL(origins.publicUrl).origin];
  if (!own.includes(url.origin) && !origins.allowedOrigins.includes(url.origin)) {
    throw invalidArgument(
      'redirectUrl',
      `leads to ${redactAddress(url.origin).slice(0, 200)}, which is not among COMPUTESDK_ALLOWED_ORIGINS`,
    );
  }
  // Chromium encodes it in paths, Node.js does not.
  url.pathname = url.pathname.replaceAll('|', '%7C');
  return url.href;
}

/** A path of the app, or an absolute address. Whatever else a URL parser would take is refused. */
function parse(text: string, appOrigin: string): URL | undefined {
  const isPath = /^\/(?!\/)/.test(text);
  if (!isPath && !/^https?:\/\/[^/]/.test(text)) return undefined;
  return URL.canParse(text, appOrigin) ? new URL(text, appOrigin) : undefined;
}
