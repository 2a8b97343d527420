import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { gatewayClients, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';

const SECRETS = scaled(10_000);
/** Of the database's 1,000 live tokens for each sandbox. */
const PER_SANDBOX = 500;
const AT_ONCE = 16;
/** So much of a secret in a row gives it away. */
const WINDOW_CHARS = 20;

it('keeps no issued secret in a file, a log, an error or an answer', async () => {
  const seen: string[] = [];
  const onOutput = (text: string) => void seen.push(text);
  const env = { COMPUTESDK_LOG_LEVEL: 'debug' };
  const gateway = await TestGateway.start({ onOutput, env });
  const secrets = await issue(gateway);
  await misuse(gateway, secrets, seen);
  const places = new Map<string, string>([['output and answers', seen.join('')]]);
  // While it runs, with everything in the write-ahead log, and once more when it ended.
  for (const file of filesBelow(gateway.dataDirectory)) places.set(file, readText(file));
  await gateway.kill('SIGTERM');
  for (const file of filesBelow(gateway.dataDirectory))
    places.set(`${file}, after`, readText(file));
  const windows = windowsOf([gateway.apiKey, ...secrets.map(signatureOf)]);
  // The search itself finds what is there.
  expect(hasSecret(`x${signatureOf(secrets[0] ?? '').slice(3)}\0`, windows)).toBe(true);
  const leaks = [...places].filter(([, text]) => hasSecret(text, windows)).map(([name]) => name);
  expect(leaks).toEqual([]);
  const bytes = [...places.values()].reduce((sum, text) => sum + text.length, 0);
  expect([...places.keys()].join()).toContain('audit.jsonl');
  expect([...places.keys()].join()).toContain('gateway.sqlite');
  report({ test: 'canary secrets', count: SECRETS, figures: { places: places.size, bytes } });
  await gateway.restart();
  await gateway.stop();
});

async function issue(gateway: TestGateway): Promise<string[]> {
  const { tokens } = gatewayClients(gateway);
  const secrets: string[] = [];
  while (secrets.length < SECRETS) {
    const { sandbox } = await newSandbox(gateway);
    const count = Math.min(PER_SANDBOX, SECRETS - secrets.length);
    await inParallel(Array.from({ length: count }), async () => {
      const { token } = await tokens.createSessionToken({ sandboxId: sandbox.id });
      secrets.push(token);
    });
    await tokens.revokeAllSessionTokens({ sandboxId: sandbox.id });
  }
  return secrets;
}

/** Sends each secret in every way that could end up somewhere, and keeps what comes back. */
async function misuse(gateway: TestGateway, secrets: readonly string[], seen: string[]) {
  const path = `${gateway.url}/computesdk.v1.AuthService/WhoAmI`;
  const attempts = (secret: string): readonly [url: string, headers: Record<string, string>][] => [
    [path, { authorization: `Bearer ${secret}` }],
    [path, { authorization: `Basic ${secret}` }],
    [path, { authorization: `Bearer ${secret}, Bearer ${secret}` }],
    [path, { cookie: `__Host-computesdk=${secret}`, origin: gateway.url }],
    [`${path}?token=${secret}`, {}],
    [`${gateway.url}/sandboxes/x/${'y'.repeat(9)}?access_token=${secret}`, {}],
    [path, { 'x-api-key': secret, 'content-type': 'application/grpc-web+proto' }],
    [path, { authorization: `Bearer ${secret}`, 'content-encoding': 'gzip' }],
  ];
  await inParallel(secrets, async (secret, index) => {
    const all = attempts(secret);
    const [url, headers] = all[index % all.length] ?? [path, {}];
    const type = { 'content-type': 'application/json' };
    const answer = await fetch(url, {
      method: 'POST',
      headers: { ...type, ...headers },
      body: '{}',
    });
    seen.push(JSON.stringify([...answer.headers]), await answer.text());
  });
}

async function inParallel<T>(
  items: readonly T[],
  run: (item: T, index: number) => Promise<void>,
): Promise<void> {
  const left = items.entries();
  const worker = async () => {
    for (const [index, item] of left) await run(item, index);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** The part of a token that nobody could write without it. */
function signatureOf(token: string): string {
  return token.split('.')[2] ?? '';
}

function windowsOf(secrets: readonly string[]): ReadonlySet<string> {
  // At every third place: no piece of 23 characters is missed.
  return new Set(
    secrets.flatMap((secret) =>
      Array.from({ length: Math.floor((secret.length - WINDOW_CHARS) / 3) + 1 }, (_, at) =>
        secret.slice(at * 3, at * 3 + WINDOW_CHARS),
      ),
    ),
  );
}

function hasSecret(text: string, windows: ReadonlySet<string>): boolean {
  for (const [run] of text.matchAll(/[\w-]{20,}/g)) {
    for (let at = 0; at + WINDOW_CHARS <= run.length; at += 1) {
      if (windows.has(run.slice(at, at + WINDOW_CHARS))) return true;
    }
  }
  return false;
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((path) => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false);
}

function readText(path: string): string {
  return readFileSync(path, 'latin1');
}
