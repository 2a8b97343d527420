import type { Ask } from './magic-http.ts';

/** A request with a secret where it does not belong. */
export type Misplaced = Ask & { readonly name: string; readonly path: string };

/** Where secrets are misplaced. */
export type Place = {
  readonly sandboxId: string;
  readonly apiKey: string;
  readonly origin: string;
};

const JSON_TYPE = { 'content-type': 'application/json' };

/** Every way in which people, programs and proxies put a secret in a wrong place. */
export function misplacements(secret: string, place: Place): readonly Misplaced[] {
  return [
    ...inQueries(secret, place),
    ...inHeaders(secret, place),
    ...inAuthorization(secret, place),
    ...inPaths(secret, place),
    ...inMessages(secret, place),
  ];
}

function whoAmI({ sandboxId }: Place): string {
  return `/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`;
}

function call(name: string, path: string, headers: Ask['headers'] = {}): Misplaced {
  return { name, path, method: 'POST', headers: { ...JSON_TYPE, ...headers }, body: '{}' };
}

function inQueries(secret: string, place: Place): Misplaced[] {
  const names = ['token', 'access_token', 'api_key', 'Authorization', 'secret', 'x', 'message'];
  return names.flatMap((name) =>
    [whoAmI(place), '/computesdk.v1.SandboxService/ListSandboxes', '/workspace', '/healthz'].map(
      (path) => call(`query ${name}`, `${path}?${name}=${secret}`),
    ),
  );
}

function inHeaders(secret: string, place: Place): Misplaced[] {
  const names = [
    ...['x-api-key', 'x-session-token', 'proxy-authorization', 'x-computesdk-principal', 'cookie2'],
    ...['referer', 'user-agent', 'x-forwarded-for', 'x-forwarded-host', 'forwarded', 'origin'],
    ...['content-type', 'connect-timeout-ms', 'content-encoding', 'accept-encoding', 'range'],
    ...['connect-protocol-version', 'grpc-timeout', 'traceparent', 'x-request-id', 'if-none-match'],
    ...['host', 'accept', 'sec-fetch-site', 'expect'],
  ];
  const headers = names.map((name) => ({ [name]: secret }));
  const cookies = [
    `token=${secret}`,
    `__Host-computesdk=${secret}x`,
    `__Host-computesdk=${secret}`,
  ];
  for (const cookie of cookies) headers.push({ cookie }, { cookie, origin: place.origin });
  const twice = `__Host-computesdk=${secret}; __Host-computesdk=${secret}`;
  headers.push({ cookie: twice, origin: place.origin });
  headers.push({ origin: `https://${secret.slice(-40)}.example`, authorization: 'Bearer wrong' });
  headers.push({ 'content-type': `application/${secret}` });
  return headers.flatMap((header) => {
    const name = `header ${Object.keys(header).join()}`;
    return [call(name, whoAmI(place), header), call(name, `/magic/${'A'.repeat(43)}`, header)];
  });
}

function inAuthorization(secret: string, place: Place): Misplaced[] {
  const changed = `${secret.slice(0, -1)}${secret.endsWith('A') ? 'B' : 'A'}`;
  const values = [
    ...[secret, `bearer ${secret}`, `Basic ${secret}`, `Token ${secret}`, `Bearer  ${secret}`],
    ...[`Bearer ${secret} x`, `Bearer "${secret}"`, `Bearer ${secret},Bearer ${secret}`],
    ...[`Bearer ${changed}`, `Bearer ${secret}.x`, `Bearer: ${secret}`, `Bearer\t${secret}`],
    `Basic ${Buffer.from(`user:${secret}`).toString('base64')}`,
  ];
  const paths = [whoAmI(place), '/computesdk.v1.SandboxService/ListSandboxes'];
  return values.flatMap((authorization) =>
    paths.map((path) => call('authorization', path, { authorization })),
  );
}

function inPaths(secret: string, place: Place): Misplaced[] {
  const below = `/sandboxes/${place.sandboxId}`;
  const paths = [
    ...[`/${secret}`, `//${secret}`, `/sandboxes/${secret}`, `/computesdk.v1.${secret}/List`],
    ...[`/sandboxes/${secret}/computesdk.v1.AuthService/WhoAmI`, `${below}/${secret}`],
    ...[`${below}/computesdk.v1.AuthService/${secret}`, `${below}/${secret}/WhoAmI`],
    ...[`/magic/${secret}x`, `/magic/${secret}/x`, `/magic/x?${secret}`, `/workspace/${secret}`],
    ...[`/workspace/assets/${secret}`, `/healthz/${secret}`, `/.well-known/${secret}`],
    `/computesdk.v1.SandboxService/${secret}`,
  ];
  return paths.flatMap((path) => [
    { name: `path ${path.replace(secret, '*')}`, path },
    call(`call ${path.replace(secret, '*')}`, path, { origin: place.origin }),
  ]);
}

function inMessages(secret: string, { sandboxId, apiKey }: Place): Misplaced[] {
  const links = '/computesdk.v1.MagicLinkService/';
  const tokens = '/computesdk.v1.SessionTokenService/';
  const sandboxes = '/computesdk.v1.SandboxService/';
  const long = `${'x'.repeat(300)}${secret}`;
  const messages: readonly (readonly [path: string, message: unknown])[] = [
    [`${links}CreateMagicLink`, { sandboxId, redirectUrl: `https://evil.example/${secret}` }],
    [`${links}CreateMagicLink`, { sandboxId, redirectUrl: `https://${secret.slice(-40)}.example` }],
    [`${links}CreateMagicLink`, { sandboxId, redirectUrl: secret }],
    [`${links}CreateMagicLink`, { sandboxId, redirectUrl: `javascript:${secret}` }],
    [`${links}CreateMagicLink`, { sandboxId, description: `${secret}\n` }],
    [`${links}CreateMagicLink`, { sandboxId, scopes: [secret] }],
    [`${links}CreateMagicLink`, { sandboxId: secret }],
    [`${links}CreateMagicLink`, { sandboxId, expiresIn: secret }],
    [`${links}RevokeMagicLink`, { sandboxId, magicLinkId: secret }],
    [`${links}ListMagicLinks`, { sandboxId, pageToken: secret }],
    [`${tokens}CreateSessionToken`, { sandboxId, description: `${secret}\n` }],
    [`${tokens}CreateSessionToken`, { sandboxId, description: long }],
    [`${tokens}CreateSessionToken`, { sandboxId, requestId: long }],
    [`${tokens}CreateSessionToken`, { sandboxId, [secret]: 1 }],
    [`${tokens}CreateSessionToken`, { sandboxId, metadata: { [`${secret}\n`]: secret } }],
    [`${tokens}GetSessionToken`, { sandboxId, sessionTokenId: secret }],
    [`${tokens}RevokeSessionToken`, { sandboxId, sessionTokenId: secret }],
    [`${tokens}ListSessionTokens`, { sandboxId, pageToken: secret, pageSize: secret }],
    [`${sandboxes}GetSandbox`, { sandboxId: secret }],
    [`${sandboxes}FindSandbox`, { name: `${secret}\n`, namespace: long }],
    [`${sandboxes}CreateSandbox`, { name: `${secret}\n` }],
    [`${sandboxes}CreateSandbox`, { timeout: secret }],
    [`${sandboxes}DestroySandbox`, `{"sandboxId": ${secret}`],
    [`${sandboxes}DestroySandbox`, secret],
    [`/sandboxes/${sandboxId}/computesdk.v1.TerminalService/GetTerminal`, { terminalId: secret }],
    [`/sandboxes/${sandboxId}/computesdk.v1.TerminalService/CreateTerminal`, { cwd: secret }],
    [`/sandboxes/${sandboxId}/computesdk.v1.AuthService/RefreshCredential`, { token: secret }],
  ];
  return messages.map(([path, message]) => ({
    name: `message ${path}`,
    path,
    method: 'POST',
    headers: { ...JSON_TYPE, authorization: `Bearer ${apiKey}` },
    body: typeof message === 'string' ? message : JSON.stringify(message),
  }));
}
