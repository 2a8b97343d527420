import { isScope, type Principal } from '../core/principal.ts';

/** Headers that tell an agent who calls. The gateway drops what a client sent under these names. */
const ID = 'x-computesdk-principal';
const SUBJECT = 'x-computesdk-subject';
const SUBJECTS = 'x-computesdk-subjects';
const SCOPES = 'x-computesdk-scopes';

/** The headers for a call that enters a box. */
export function principalToHeaders(principal: Principal): Record<string, string> {
  return {
    [ID]: principal.id,
    [SUBJECT]: principal.subject,
    [SUBJECTS]: principal.subjects.join(' '),
    [SCOPES]: principal.scopes.join(' '),
  };
}

/** The calls of a connection share their headers. They never change. */
const known = new WeakMap<Headers, Principal>();

/** The caller as the gateway named it. Missing headers give a caller that may do nothing. */
export function principalFromHeaders(headers: Headers): Principal {
  const before = known.get(headers);
  if (before) return before;
  const principal = readPrincipal(headers);
  known.set(headers, principal);
  return principal;
}

function readPrincipal(headers: Headers): Principal {
  const subject = headers.get(SUBJECT) ?? '';
  return {
    id: headers.get(ID) ?? '',
    subject,
    // A gateway of the version before sends one subject only.
    subjects: headers.get(SUBJECTS)?.split(' ') ?? [subject],
    scopes: (headers.get(SCOPES) ?? '').split(' ').filter(isScope),
  };
}
