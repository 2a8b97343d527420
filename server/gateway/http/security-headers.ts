import type { HttpResponse } from '../../rpc/connect-node.ts';

const HEADERS = [
  // Answers are data, whatever a browser guesses from their first bytes.
  ['X-Content-Type-Options', 'nosniff'],
  ['Referrer-Policy', 'no-referrer'],
  ['Content-Security-Policy', "default-src 'none'; frame-ancestors 'none'"],
  ['Cross-Origin-Resource-Policy', 'same-origin'],
  ['Cache-Control', 'no-store'],
] as const;

/** Sets the headers that every answer of the gateway has. What answers a request may replace them. */
export function setSecurityHeaders(response: HttpResponse): void {
  for (const [name, value] of HEADERS) response.setHeader(name, value);
}
