import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { compute } from '../../client/compute.ts';
import type { ManagedSandbox } from '../../client/managed-sandbox.ts';
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts';
import { TestGateway } from '../support/gateway.ts';
import { forEachAtOnce, HttpClient, sessionCookieIn } from '../support/magic-http.ts';
import { misplacements, type Place } from '../support/misplaced-secrets.ts';
import { sendRaw } from '../support/raw-http.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { filesBelow, SecretSearch } from '../support/secret-search.ts';

const COUNT = scaled(10_000);
const AT_ONCE = 16;
/** Of each four secrets three become tokens, of which a sandbox holds a thousand. */
const SECRETS_PER_SANDBOX = 1_000;
/** Every so many secrets, one is misplaced in every way there is; the others in one each. */
const ALL_WAYS_EVERY = 100;

type Secret = { readonly name: string; readonly text: string; readonly place: Place };

let gateway: TestGateway;
let client: HttpClient;
let output = '';

beforeAll(async () => {
  gateway = await TestGateway.start({
    // An empty key is none: the gateway makes one, and keeps it in a file.
    env: { COMPUTESDK_API_KEY: '', COMPUTESDK_LOG_LEVEL: 'debug' },
    onOutput: (text) => {
      output += text;
    },
  });
  client = new HttpClient(AT_ONCE);
});

afterAll(async () => {
  compute.setConfig({});
  client?.[Symbol.dispose]();
  await gateway?.stop();
});

test('no secret is kept, logged, or told to anybody else', async () => {
  const apiKey = readFileSync(join(gateway.dataDirectory, 'api-key'), 'utf8').trim();
  compute.setConfig({ apiKey, gatewayUrl: gateway.url });
  const sandboxes = await makeSandboxes(Math.ceil(COUNT / SECRETS_PER_SANDBOX));
  const secrets: Secret[] = [];
  /** The ids of what the secrets open, which are no secrets and must be found. */
  const ids: string[] = [];
  await forEachAtOnce(Array(COUNT).keys(), AT_ONCE, async (index) => {
    const sandbox = sandboxes[Math.floor(index / SECRETS_PER_SANDBOX)];
    if (!sandbox) throw new Error('no sandbox was made');
    const place = { sandboxId: sandbox.id, apiKey, origin: gateway.url };
    const issued = await issue(sandbox, index);
    ids.push(issued.id);
    for (const [name, text] of issued.secrets) secrets.push({ name, text, place });
  });
  const [first] = secrets;
  if (!first) throw new Error('no secret was issued');
  secrets.push({ name: 'API key', text: apiKey, place: first.place });
  const search = new SecretSearch();
  for (const { name, text } of secrets) search.add(name, text);

  const leaks: string[] = [];
  const look = (where: string, content: string | Buffer) => {
    for (const name of search.findIn(content)) leaks.push(`${name} in ${where}`);
  };
  const misplaced = await misplaceAll(secrets, look);
  for (const { name, text } of secrets.filter((_, index) => index % ALL_WAYS_EVERY === 0)) {
    for (const request of malformed(text)) {
      look(
        `the answer to a malformed request with a ${name}`,
        (await sendRaw(gateway.port, request)).text,
      );
    }
  }
  for (const path of ['/healthz', '/.well-known/jwks.json', '/workspace', '/nothing']) {
    const { headers, text } = await client.ask(gateway.url + path);
    look(path, JSON.stringify(headers) + text);
  }
  look('reflection', await reflected());

  const running = lookIntoFiles(look);
  await gateway.kill('SIGINT');
  const stopped = lookIntoFiles(look);
  look('the output', output);
  expect([...new Set(leaks)].slice(0, 40)).toEqual([]);

  // The search looked where the secrets would be: what belongs to them is there.
  for (const found of [running, stopped]) {
    expect(ids.filter((id) => !found.text.includes(id))).toEqual([]);
  }
  expect(output).toContain('"level":"info"');
  expect(output).toContain('signed_in');
  report({
    test: 'canaries',
    count: secrets.length,
    figures: {
      windows: search.size,
      misplaced,
      files: stopped.files,
      'MB searched': (running.bytes + stopped.bytes + output.length) / 1e6,
      leaks: leaks.length,
    },
  });
});

test('the search finds a secret in every form, also when it is cut', () => {
  const search = new SecretSearch();
  const secret = 'dGhpcyBpcyBhIHNlY3JldCBvZiB0aGUgdGVzdHMsIGxvbmc';
  search.add('one', `eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.${secret}`);
  const bytes = Buffer.from(secret, 'base64url');
  const forms = [secret, `${secret.slice(0, 20)}…`, `…${secret.slice(-20)}`, bytes.toString('hex')];
  for (const form of forms) expect(search.findIn(`before ${form} after`)).not.toEqual([]);
  expect(search.findIn(secret.toLowerCase())).toEqual(['one as text in lower case']);
  expect(search.findIn(bytes)).toEqual(['one as bytes']);
  expect(search.findIn(Buffer.from(secret).toString('hex'))).toEqual(['one as text in hex']);
  expect(search.findIn('eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJ4In0.')).toEqual([]);
});

async function makeSandboxes(count: number): Promise<ManagedSandbox[]> {
  return await Promise.all(Array.from({ length: count }, () => compute.sandbox.create()));
}

/** Half of the secrets are session tokens, a quarter links, a quarter cookies with the link and nonce before them. */
async function issue(
  sandbox: ManagedSandbox,
  index: number,
): Promise<{ id: string; secrets: (readonly [name: string, text: string])[] }> {
  if (index % 4 < 2) {
    const { id, token } = await sandbox.sessionToken.create({ description: `token ${index}` });
    // Some are ended: refusals name them.
    if (index % 8 === 0) await sandbox.sessionToken.revoke(id);
    return { id, secrets: [['session token', token]] };
  }
  const { id, url } = await sandbox.magicLink.create({ description: `link ${index}` });
  const link = ['magic link', url.slice(url.lastIndexOf('/') + 1)] as const;
  if (index % 4 === 2) return { id, secrets: [link] };
  const page = await client.ask(url);
  const [nonce = ''] = (page.headers['set-cookie'] ?? []).map((text) => text.split(';', 1)[0]);
  const pressed = await client.press(url, { cookie: nonce });
  const cookie = sessionCookieIn(pressed);
  if (cookie === undefined) throw new Error(`not signed in: ${pressed.status} ${pressed.text}`);
  const nonceText = nonce.slice(nonce.indexOf('=') + 1);
  return {
    id,
    secrets: [
      ['used magic link', link[1]],
      ['nonce', nonceText],
      ['cookie', cookie],
    ],
  };
}

/** Sends every secret to a wrong place, and looks at the answers. Returns how many requests that were. */
async function misplaceAll(
  secrets: readonly Secret[],
  look: (where: string, content: string) => void,
): Promise<number> {
  let sent = 0;
  await forEachAtOnce(secrets.entries(), AT_ONCE, async ([index, { text, place }]) => {
    const all = misplacements(text, place);
    const isAll = index % ALL_WAYS_EVERY === 0 || index === secrets.length - 1;
    for (const way of isAll ? all : all.slice(index % all.length).slice(0, 1)) {
      const answer = await client.ask(gateway.url + way.path, way);
      sent += 1;
      const { location: _place, ...headers } = answer.headers;
      if (answer.status === 500) throw new Error(`${way.name}: ${answer.status} ${answer.text}`);
      // To the one who sent it, Protobuf's parser names the JSON value that it cannot take.
      const isParserWord = answer.text.includes('"cannot decode ');
      if (answer.status >= 400 && !isParserWord)
        look(way.name, JSON.stringify(headers) + answer.text);
    }
  });
  return sent;
}

/** What no HTTP client would send. */
function malformed(secret: string): string[] {
  return [
    `GET / HTTP/1.1\r\nHost: localhost\r\nAuth orization: ${secret}\r\nConnection: close\r\n\r\n`,
    `${secret} / HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    `GET /${secret} x HTTP/1.1\r\nHost: localhost\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: ${secret}\r\nHost: ${secret}\r\nConnection: close\r\n\r\n`,
    `GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${secret}\r\n\r\n`,
  ];
}

/** Everything that reflection tells, as text. */
async function reflected(): Promise<string> {
  const sessionManager = new Http2SessionManager(gateway.url);
  const transport = createGrpcTransport({ baseUrl: gateway.url, sessionManager });
  const reflection = createClient(ServerReflection, transport);
  const question = { case: 'listServices', value: '' } as const;
  const symbol = { case: 'fileContainingSymbol', value: 'computesdk.v1.MagicLink' } as const;
  async function* questions() {
    yield { messageRequest: question };
    yield { messageRequest: symbol };
  }
  const parts: string[] = [];
  for await (const { messageResponse } of reflection.serverReflectionInfo(questions())) {
    if (messageResponse.case === 'listServicesResponse')
      parts.push(...messageResponse.value.service.map(({ name }) => name));
    if (messageResponse.case === 'fileDescriptorResponse')
      parts.push(
        ...messageResponse.value.fileDescriptorProto.map((it) =>
          Buffer.from(it).toString('latin1'),
        ),
      );
  }
  sessionManager.abort();
  expect(parts.join()).toContain('computesdk.v1.MagicLinkService');
  return parts.join('\n');
}

/**
 * Looks into every file of the data directory. The database holds the private signing key (`d` of
 * its JWK), by design: it is none of the secrets that are issued, and not looked for.
 */
function lookIntoFiles(look: (where: string, content: Buffer) => void) {
  let bytes = 0;
  let files = 0;
  const texts: string[] = [];
  for (const file of filesBelow(gateway.dataDirectory)) {
    files += 1;
    bytes += file.bytes.length;
    const name = file.path.slice(gateway.dataDirectory.length + 1);
    texts.push(file.bytes.toString('latin1'));
    // The one place where a key that was made is kept.
    if (name !== 'api-key') look(name, file.bytes);
  }
  return { bytes, files, text: texts.join('\n') };
}
