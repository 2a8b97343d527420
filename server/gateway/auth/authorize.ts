import { DomainError } from '../../core/domain-error.ts';
import type { Scope } from '../../core/principal.ts';
import type { Caller } from './caller.ts';

/** Who may call a method. */
export type Access =
  /** Only an API key. */
  | { readonly kind: 'api_key' }
  /** An API key, or a session token that holds this scope. */
  | { readonly kind: 'scope'; readonly scope: Scope }
  /** Any valid credential. */
  | { readonly kind: 'any_credential' };

/**
 * Throws PERMISSION_DENIED unless `caller` may call a method with this `access`, on this sandbox.
 * A foreign sandbox is refused before anyone looks whether it exists, so both look alike. That an
 * API key's workspace owns the sandbox is checked by whoever looks the sandbox up.
 */
export function authorize(caller: Caller, access: Access, sandboxId?: string): void {
  if (caller.kind === 'api_key') return;
  if (access.kind === 'api_key') {
    throw new DomainError(
      'PERMISSION_DENIED',
      'a session token may not call this method, only an API key',
    );
  }
  if (sandboxId !== undefined && sandboxId !== caller.sandboxId) {
    throw new DomainError(
      'PERMISSION_DENIED',
      'this session token opens no sandbox at this address',
    );
  }
  if (access.kind === 'scope' && !caller.principal.scopes.includes(access.scope)) {
    throw new DomainError(
      'PERMISSION_DENIED',
      `this session token lacks the scope ${access.scope}`,
    );
  }
}

/**
 * Throws PERMISSION_DENIED if an API key comes with the `Origin` header that browsers send: a key
 * in a page is a key that leaked.
 */
export function refuseApiKeyFromBrowser(caller: Caller, origin: string | undefined | null): void {
  if (caller.kind !== 'api_key' || origin === undefined || origin === null) return;
  throw new DomainError(
    'PERMISSION_DENIED',
    'an API key must not be used in a browser: create a session token on your server and send that',
  );
}
