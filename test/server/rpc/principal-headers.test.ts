import { expect, test } from 'vitest';
import type { Principal } from '../../../server/core/principal.ts';
import { principalFromHeaders, principalToHeaders } from '../../../server/rpc/principal-headers.ts';

const CALLER: Principal = {
  id: 'tok3',
  subject: 'tok1',
  subjects: ['tok1', 'tok2', 'tok3'],
  scopes: ['terminal:read'],
};

test('a caller arrives as it was sent', () => {
  expect(principalFromHeaders(new Headers(principalToHeaders(CALLER)))).toEqual(CALLER);
});

test('a caller of a gateway that knows one subject acts as that one', () => {
  const headers = new Headers(principalToHeaders(CALLER));
  headers.delete('x-computesdk-subjects');
  expect(principalFromHeaders(headers).subjects).toEqual(['tok1']);
});

test('a call without headers may do nothing', () => {
  const nobody = principalFromHeaders(new Headers());
  expect([nobody.id, nobody.subject, nobody.scopes]).toEqual(['', '', []]);
});
