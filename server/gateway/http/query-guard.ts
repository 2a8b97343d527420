import { DomainError } from '../../core/domain-error.ts';

/** Parameters under which other products take credentials: in lower case, without `_` and `-`. */
const CREDENTIAL_NAMES: ReadonlySet<string> = new Set([
  'accesstoken',
  'apikey',
  'authorization',
  'sessiontoken',
  'token',
]);

/**
 * Why a request is refused because of its query, if it is: a credential in an address ends up in
 * histories, logs and referrers. The value is not repeated.
 */
export function credentialInQuery(target: string): DomainError | undefined {
  const question = target.indexOf('?');
  if (question < 0) return undefined;
  for (const pair of target.slice(question + 1).split('&')) {
    const [name = ''] = pair.split('=', 1);
    if (!CREDENTIAL_NAMES.has(decoded(name).toLowerCase().replace(/[_-]/g, ''))) continue;
    return new DomainError(
      'INVALID_ARGUMENT',
      'a credential must not be in the address, where logs and histories keep it: send `Authorization: Bearer …`, and revoke this one',
    );
  }
  return undefined;
}

function decoded(name: string): string {
  try {
    return decodeURIComponent(name);
  } catch {
    return name;
  }
}
