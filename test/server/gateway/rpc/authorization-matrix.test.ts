import type { DescMethod, DescMethodStreaming, DescMethodUnary } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { describe, expect, test } from 'vitest';
import { ErrorDetailSchema, ErrorReasonSchema } from '../../../../gen/computesdk/v1/error_pb.ts';
import { newId } from '../../../../server/core/id.ts';
import { SCOPES, type Scope } from '../../../../server/core/principal.ts';
import type { Access } from '../../../../server/gateway/auth/authorize.ts';
import { GATEWAY_SERVICES } from '../../../../server/gateway/rpc/gateway-rpc.ts';
import { accessOf } from '../../../../server/gateway/rpc/method-access.ts';
import { previewSecrets } from '../support/preview-secrets.ts';
import { PLAIN_LINK, sessionHeader, signIn } from '../support/sign-in.ts';
import { API_KEY, NEVER, PLAIN_SANDBOX, PLAIN_TOKEN } from '../support/test-core.ts';
import { type TestFront, testFront } from '../support/test-front.ts';
import { allMethods } from './services.ts';

type Refusal =
  | 'UNAUTHENTICATED'
  | 'REVOKED'
  | 'EXPIRED'
  | 'DESTROYED'
  | 'PERMISSION_DENIED'
  | 'ORIGIN_NOT_ALLOWED';
type Outcome = Refusal | 'let in';

/** Credentials, each with what it must get at its own sandbox's address. */
const CREDENTIALS = {
  none: () => 'UNAUTHENTICATED',
  wrongKey: () => 'UNAUTHENTICATED',
  forged: () => 'UNAUTHENTICATED',
  apiKey: () => 'let in',
  ownToken: (access) => (access.kind === 'api_key' ? 'PERMISSION_DENIED' : 'let in'),
  narrowToken: (access) => (access.kind === 'any_credential' ? 'let in' : 'PERMISSION_DENIED'),
  foreignToken: () => 'PERMISSION_DENIED',
  expiredToken: () => 'EXPIRED',
  revokedToken: () => 'REVOKED',
  orphanToken: () => 'DESTROYED',
  linkSecret: () => 'UNAUTHENTICATED',
  linkSecretAsCookie: () => 'UNAUTHENTICATED',
  previewTicket: () => 'UNAUTHENTICATED',
  previewTicketAsCookie: () => 'UNAUTHENTICATED',
  previewCookie: () => 'UNAUTHENTICATED',
  previewCookieAsCookie: () => 'UNAUTHENTICATED',
  linkSession: (access) => (access.kind === 'api_key' ? 'PERMISSION_DENIED' : 'let in'),
  linkSessionWithoutOrigin: () => 'ORIGIN_NOT_ALLOWED',
  foreignLinkSession: () => 'UNAUTHENTICATED',
  revokedLinkSession: () => 'REVOKED',
} as const satisfies Record<string, (access: Access) => Outcome>;
type Credential = keyof typeof CREDENTIALS | `${Scope} alone`;
/** The headers that carry each credential. */
type HeadersOf = ReadonlyMap<Credential, Readonly<Record<string, string>>>;

/** A scope that no method asks for today: a token with it alone may do nothing. */
const UNUSED_SCOPE = 'command:run';

async function prepare(front: TestFront) {
  const { sandboxes, tokens, owner, clock } = front;
  const newSandbox = async () => (await sandboxes.create(owner, PLAIN_SANDBOX, NEVER)).id;
  const [own, foreign, orphan] = [await newSandbox(), await newSandbox(), await newSandbox()];
  const mint = (sandboxId: string, more: object = {}) =>
    tokens.create(owner, { ...PLAIN_TOKEN, sandboxId, ...more });
  const revoked = await mint(own);
  const expired = await mint(own, { expiresInMs: 1000 });
  const texts = {
    wrongKey: `${API_KEY}x`,
    forged: `${(await mint(own)).text.slice(0, -8)}AAAAAAAA`,
    apiKey: API_KEY,
    ownToken: (await mint(own)).text,
    narrowToken: (await mint(own, { scopes: [UNUSED_SCOPE] })).text,
    foreignToken: (await mint(foreign)).text,
    expiredToken: expired.text,
    revokedToken: revoked.text,
    orphanToken: (await mint(orphan)).text,
  };
  await tokens.revoke(owner, { sandboxId: own, tokenId: revoked.token.id });
  await sandboxes.destroy(owner, orphan);
  clock.advance(1000);
  return { own, texts, headers: await headersOf(front, { own, foreign, texts }) };
}

/** Every credential as a request carries it, a token of each scope among them. */
async function headersOf(
  front: TestFront,
  made: { own: string; foreign: string; texts: Readonly<Record<string, string>> },
): Promise<HeadersOf> {
  const { tokens, owner, access, url } = front;
  const link = (sandboxId: string) => access.links.create(owner, { ...PLAIN_LINK, sandboxId });
  const browser = async (sandboxId: string) => signIn(front, (await link(sandboxId)).secret);
  const [unused, own, foreign, revoked] = [
    await link(made.own),
    await browser(made.own),
    await browser(made.foreign),
    await browser(made.own),
  ];
  await tokens.revoke(owner, { sandboxId: made.own, tokenId: revoked.token.id });
  const preview = await previewSecrets(front, made.own, made.texts['ownToken']);
  const headers = new Map<Credential, Readonly<Record<string, string>>>([
    ['none', {}],
    ['linkSecret', { authorization: `Bearer ${unused.secret}` }],
    ['linkSecretAsCookie', { cookie: sessionHeader(unused.secret), origin: url }],
    ['previewTicket', { authorization: `Bearer ${preview.ticket}` }],
    ['previewTicketAsCookie', { cookie: sessionHeader(preview.ticket), origin: url }],
    ['previewCookie', { authorization: `Bearer ${preview.cookie}` }],
    ['previewCookieAsCookie', { cookie: sessionHeader(preview.cookie), origin: url }],
    ['linkSession', { cookie: own.header, origin: url }],
    ['linkSessionWithoutOrigin', { cookie: own.header }],
    ['foreignLinkSession', { cookie: foreign.header, origin: url }],
    ['revokedLinkSession', { cookie: revoked.header, origin: url }],
  ]);
  for (const [name, text] of Object.entries(made.texts)) {
    // The keys of `texts` are credentials.
    headers.set(name as Credential, { authorization: `Bearer ${text}` });
  }
  for (const scope of SCOPES) {
    const { text } = await tokens.create(owner, {
      ...{ ...PLAIN_TOKEN, sandboxId: made.own, scopes: [scope] },
    });
    headers.set(`${scope} alone`, { authorization: `Bearer ${text}` });
  }
  return headers;
}

/** Calls a method with an empty message and tells how far the call got. */
async function outcomeOf(
  baseUrl: string,
  method: DescMethod,
  headers: Readonly<Record<string, string>>,
): Promise<Outcome> {
  const httpVersion = method.methodKind === 'bidi_streaming' ? '2' : '1.1';
  const transport = createConnectTransport({ baseUrl, httpVersion });
  const header = new Headers(headers);
  try {
    if (isUnary(method)) {
      await transport.unary(method, undefined, undefined, header, {});
    } else {
      const input = (async function* () {
        yield {};
      })();
      const response = await transport.stream(
        asStream(method),
        undefined,
        undefined,
        header,
        input,
      );
      for await (const _message of response.message) break;
    }
    return 'let in';
  } catch (error) {
    return refusalOf(ConnectError.from(error));
  }
}

function isUnary(method: DescMethod): method is DescMethod & DescMethodUnary {
  return method.methodKind === 'unary';
}

/** A method that is no unary one. The compiler cannot narrow a descriptor of unknown messages. */
function asStream(method: DescMethod): DescMethodStreaming {
  return method as DescMethodStreaming;
}

function refusalOf(error: ConnectError): Outcome {
  const [detail] = error.findDetails(ErrorDetailSchema);
  const reason = detail ? ErrorReasonSchema.value[detail.reason]?.localName : undefined;
  switch (reason) {
    case 'UNAUTHENTICATED':
    case 'REVOKED':
    case 'EXPIRED':
      expect(error.code).toBe(Code.Unauthenticated);
      return reason;
    case 'ORIGIN_NOT_ALLOWED':
    case 'PERMISSION_DENIED':
      expect(error.code).toBe(Code.PermissionDenied);
      return reason;
    case 'DESTROYED':
      return reason;
    default:
      // The method was reached; with an empty message it may refuse for other reasons.
      expect([Code.Unauthenticated, Code.PermissionDenied]).not.toContain(error.code);
      return 'let in';
  }
}

function expectedOf(method: DescMethod, credential: Credential, isAtRoot: boolean): Outcome {
  const access = accessOf(method);
  if (!access) throw new Error(`${method.name} is public`);
  // At the root no sandbox is named, so a token of any sandbox is as good as the next.
  if (isAtRoot && credential === 'foreignToken') return CREDENTIALS.ownToken(access);
  // A cookie opens sandboxes, and the root is none.
  if (isAtRoot && credential.endsWith('inkSession')) return 'UNAUTHENTICATED';
  if (isPlain(credential)) return CREDENTIALS[credential](access);
  if (access.kind === 'any_credential') return 'let in';
  const isIts = access.kind === 'scope' && credential === `${access.scope} alone`;
  return isIts ? 'let in' : 'PERMISSION_DENIED';
}

function isPlain(credential: Credential): credential is keyof typeof CREDENTIALS {
  return credential in CREDENTIALS;
}

describe('every method with every credential', () => {
  test('at the root of the gateway', async () => {
    const front = await testFront();
    const { headers } = await prepare(front);
    const isOwn = (method: DescMethod) =>
      GATEWAY_SERVICES.some((service) => service.typeName === method.parent.typeName);
    const methods = (await allMethods()).filter(isOwn);
    await compare(methods, headers, { baseUrl: front.url, isAtRoot: true });
  });

  test("below a sandbox's address", async () => {
    const front = await testFront();
    const { own, headers } = await prepare(front);
    const baseUrl = `${front.url}/sandboxes/${own}`;
    await compare(await allMethods(), headers, { baseUrl, isAtRoot: false });
  });

  async function compare(
    methods: readonly DescMethod[],
    headers: HeadersOf,
    where: { baseUrl: string; isAtRoot: boolean },
  ) {
    expect(methods.length).toBeGreaterThan(10);
    expect(headers.size).toBe(Object.keys(CREDENTIALS).length + SCOPES.length);
    const seen: Record<string, Outcome> = {};
    const expected: Record<string, Outcome> = {};
    // Who signs out has no credential afterwards.
    const isSignOut = (method: DescMethod) => Number(method.name === 'SignOut');
    for (const method of methods.toSorted((a, b) => isSignOut(a) - isSignOut(b))) {
      for (const [credential, header] of headers) {
        const name = `${method.parent.name}.${method.name} with ${credential}`;
        seen[name] = await outcomeOf(where.baseUrl, method, header);
        expected[name] = expectedOf(method, credential, where.isAtRoot);
      }
    }
    expect(seen).toEqual(expected);
  }
});

test('a sandbox of somebody else looks exactly like one that does not exist', async () => {
  const front = await testFront();
  const { own, texts } = await prepare(front);
  const call = (sandboxId: string) =>
    front.post(
      `/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`,
      {},
      {
        authorization: `Bearer ${texts.foreignToken}`,
      },
    );
  const there = await call(own);
  expect(there).toEqual(await call(newId('sbx')));
  expect(there).toMatchObject({ status: 403, json: { code: 'permission_denied' } });
});

test('every credential that was never valid gets the same answer', async () => {
  const front = await testFront();
  const { texts } = await prepare(front);
  const answers = new Set<string>();
  for (const text of ['', `${API_KEY}x`, texts.forged, 'a.b.c', `${texts.ownToken}x`]) {
    const answer = await front.post(
      '/computesdk.v1.AuthService/WhoAmI',
      {},
      {
        authorization: `Bearer ${text}`,
      },
    );
    answers.add(JSON.stringify(answer));
  }
  answers.add(JSON.stringify(await front.post('/computesdk.v1.AuthService/WhoAmI', {})));
  expect(answers.size).toBe(1);
  expect([...answers][0]).toContain('unauthenticated');
});

test('an API key that a page sends is refused, a session token is not', async () => {
  const front = await testFront();
  const { texts } = await prepare(front);
  const call = (text: string | undefined) =>
    front.post(
      '/computesdk.v1.AuthService/WhoAmI',
      {},
      {
        authorization: `Bearer ${text}`,
        origin: 'http://localhost:5173',
      },
    );
  expect(await call(API_KEY)).toMatchObject({ status: 403 });
  expect(await call(texts.ownToken)).toMatchObject({ status: 200 });
});

test('a token in the query string opens nothing and is not repeated', async () => {
  const front = await testFront();
  const { texts } = await prepare(front);
  const path = `/computesdk.v1.AuthService/WhoAmI?access_token=${texts.ownToken}&token=${API_KEY}`;
  const answer = await front.post(path, {});
  expect(answer).toMatchObject({ status: 400, json: { code: 'invalid_argument' } });
  expect(JSON.stringify(answer)).not.toContain(API_KEY);
  expect(front.lines.join('')).not.toContain(API_KEY);
});
