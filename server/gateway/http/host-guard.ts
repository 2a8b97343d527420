import { DomainError } from '../../core/domain-error.ts';
import { redactAddress } from '../../core/redact.ts';
import type { HttpRequest } from '../../rpc/connect-node.ts';

/** The longest Host header: a DNS name and a port. */
const MAX_HOST_CHARS = 253 + 6;
const HOST = /^(\[[0-9a-f:.]{2,45}\]|[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?)(?::(\d{1,5}))?$/;
const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

/** Why a request is refused because of the host it names, as an HTTP status and a sentence. */
export type HostRefusal = { readonly status: 400 | 421; readonly error: DomainError };

/**
 * Checks which host a request is for. Without this check a page of a foreign site could point its
 * own name at this server and read the answers (DNS rebinding).
 */
export class HostGuard {
  readonly #allowed: ReadonlySet<string>;

  /**
   * `allowedHosts` are names in lower case; one without a port allows every port. Loopback names are
   * always allowed.
   */
  constructor(allowedHosts: readonly string[]) {
    this.#allowed = new Set([...allowedHosts.map((host) => host.toLowerCase()), ...LOOPBACK]);
  }

  /** What is wrong with the host of `request`, if anything. */
  check(request: HttpRequest): HostRefusal | undefined {
    const host = hostOf(request);
    if (typeof host === 'object') return { status: 400, error: host };
    if (this.#allowed.has(host)) return undefined;
    const [, name = '', port] = HOST.exec(host) ?? [];
    if (name === '' || Number(port ?? 0) > 65_535) {
      return {
        status: 400,
        error: invalid('the Host header is no host name with an optional port'),
      };
    }
    if (this.#allowed.has(name)) return undefined;
    const message = `the host ${redactAddress(host)} is not served here; add it to COMPUTESDK_ALLOWED_HOSTS if it should be`;
    return { status: 421, error: new DomainError('ORIGIN_NOT_ALLOWED', message) };
  }
}

/** The host in lower case, or why it is none that could be compared. */
export function hostOf(request: HttpRequest): string | DomainError {
  const authority = 'authority' in request ? request.headers[':authority'] : undefined;
  const hosts = rawValues(request.rawHeaders, 'host');
  if (hosts.length > 1) return invalid('the request has more than one Host header');
  const host = authority ?? hosts[0];
  if (host === undefined || host === '') {
    return invalid(
      'the request has no Host header: send the host name that the server was called by',
    );
  }
  if (hosts[0] !== undefined && hosts[0].toLowerCase() !== host.toLowerCase()) {
    return invalid('the request names two different hosts, in :authority and in Host');
  }
  if (host.length > MAX_HOST_CHARS) {
    return invalid(`the Host header is longer than ${MAX_HOST_CHARS} characters`);
  }
  return host.toLowerCase();
}

/** Every value of a header, where Node.js would keep only the first. `name` is in lower case. */
export function rawValues(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = [];
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const header = rawHeaders[index] ?? '';
    if (header.length !== name.length || header.toLowerCase() !== name) continue;
    values.push(rawHeaders[index + 1] ?? '');
  }
  return values;
}

function invalid(message: string): DomainError {
  return new DomainError('INVALID_ARGUMENT', message);
}
