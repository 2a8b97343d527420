import { expect, test } from 'vitest';
import { REDACTED, redactAddress } from '../../../server/core/redact.ts';

test.each([
  ['/computesdk.v1.SandboxService/ListSandboxes', '/computesdk.v1.SandboxService/ListSandboxes'],
  ['/healthz/', '/healthz/'],
  [`/${'Ab-3_'.repeat(9)}/List`, `/${REDACTED}/List`],
  ['/nonce/AAAAAAAAAAAAAAAAAAAAAA', `/nonce/${REDACTED}`],
  ['/sandboxes/eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.c2ln', `/sandboxes/${REDACTED}`],
])('the address %s is shown as %s', (address, shown) => {
  expect(redactAddress(address)).toBe(shown);
});
