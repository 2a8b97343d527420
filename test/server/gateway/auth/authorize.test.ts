import { expect, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { authorize, refuseApiKeyFromBrowser } from '../../../../server/gateway/auth/authorize.ts';
import type { Caller } from '../../../../server/gateway/auth/caller.ts';

const SANDBOX = newId('sbx');
const KEY: Caller = {
  kind: 'api_key',
  workspaceId: 'w',
  principal: { id: 'k', subject: 'k', subjects: ['k'], scopes: [] },
};
const TOKEN: Caller = {
  kind: 'session_token',
  via: 'bearer',
  sandboxId: SANDBOX,
  expiresAt: 1,
  principal: { id: 't', subject: 't', subjects: ['t'], scopes: ['terminal:read'] },
};

test('an API key may call everything', () => {
  authorize(KEY, { kind: 'api_key' }, SANDBOX);
  authorize(KEY, { kind: 'scope', scope: 'terminal:write' }, SANDBOX);
  authorize(KEY, { kind: 'any_credential' });
});

test('a session token may call what its scopes allow, on its sandbox', () => {
  authorize(TOKEN, { kind: 'scope', scope: 'terminal:read' }, SANDBOX);
  authorize(TOKEN, { kind: 'any_credential' });
  expect(() => authorize(TOKEN, { kind: 'scope', scope: 'terminal:write' }, SANDBOX)).toThrow(
    'lacks the scope terminal:write',
  );
  expect(() => authorize(TOKEN, { kind: 'api_key' }, SANDBOX)).toThrow('only an API key');
  expect(() => authorize(TOKEN, { kind: 'any_credential' }, newId('sbx'))).toThrow(
    'opens no sandbox at this address',
  );
});

test('an API key is refused when a browser sends it, a session token is not', () => {
  expect(() => refuseApiKeyFromBrowser(KEY, 'https://app.example')).toThrow('session token');
  expect(() => refuseApiKeyFromBrowser(KEY, 'null')).toThrow('session token');
  refuseApiKeyFromBrowser(KEY, undefined);
  refuseApiKeyFromBrowser(KEY, null);
  refuseApiKeyFromBrowser(TOKEN, 'https://app.example');
});
