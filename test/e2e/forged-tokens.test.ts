import { request } from 'node:http';
import type { DescMethod } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { GATEWAY_SERVICES } from '../../server/gateway/rpc/gateway-rpc.ts';
import { accessOf } from '../../server/gateway/rpc/method-access.ts';
import { allMethods } from '../server/gateway/rpc/services.ts';
import { NEVER, PLAIN_SANDBOX, PLAIN_TOKEN } from '../server/gateway/support/test-core.ts';
import { type TestFront, testFront } from '../server/gateway/support/test-front.ts';
import { type Forgery, forgeries } from '../support/forged-tokens.ts';
import { report } from '../support/report.ts';

/** Requests at a time. */
const AT_ONCE = 16;

type Answer = { readonly status: number; readonly error: Record<string, unknown> };
type Target = { readonly path: string; readonly isStream: boolean };

test('no forged or mistyped token is let in, by any method, as a header or as a cookie', async () => {
  const front = await testFront();
  const { id: sandboxId } = await front.sandboxes.create(front.owner, PLAIN_SANDBOX, NEVER);
  const request = { ...PLAIN_TOKEN, sandboxId };
  const { text, token } = await front.tokens.create(front.owner, request);
  const [key] = await front.store.identity.signingKeys();
  if (!key) throw new Error('the gateway has no signing key');
  const forged = forgeries({ text, token, jwk: JSON.parse(key.jwk) });
  const targets = await targetsOf(sandboxId);
  expect(forged.length).toBeGreaterThanOrEqual(60);
  expect(targets.length).toBeGreaterThan(15);

  // What is refused here must be refused because it is forged.
  const genuine = { name: 'genuine', authorization: `Bearer ${text}`, cookie: text };
  const whoAmI = `/sandboxes/${sandboxId}/computesdk.v1.AuthService/WhoAmI`;
  const asGenuine = headerOf(genuine);
  expect((await call(front, { path: whoAmI, isStream: false }, asGenuine)).status).toBe(200);

  const shapes = new Set<string>();
  const wrong: string[] = [];
  const jobs = forged.flatMap((forgery) =>
    targets.flatMap((target) => [
      { forgery, target, headers: headerOf(forgery) },
      { forgery, target, headers: cookieOf(forgery, front.url) },
      { forgery, target, headers: cookieOf(forgery) },
    ]),
  );
  await runAll(jobs, async ({ forgery, target, headers }) => {
    const answer = await call(front, target, headers);
    const { code } = answer.error;
    const isRefused =
      (answer.status === 401 && code === 'unauthenticated') ||
      (answer.status === 403 && code === 'permission_denied') ||
      // A stream's status is in its last message.
      (target.isStream && (code === 'unauthenticated' || code === 'permission_denied'));
    if (!isRefused) wrong.push(`${forgery.name} at ${target.path}: ${JSON.stringify(answer)}`);
    shapes.add(shapeOf(answer.error));
    if (JSON.stringify(answer).includes(text.slice(-40))) wrong.push(`${forgery.name}: echoed`);
  });
  expect(wrong).toEqual([]);
  expect([...shapes]).toEqual(['code,details,message']);
  expect(front.lines.join('')).not.toContain(text.slice(-40));
  report({
    test: 'forged tokens',
    count: jobs.length,
    figures: { forgeries: forged.length, methods: targets.length, 'let in': wrong.length },
  });
}, 120_000);

/** Every method where the gateway serves it: its own at the root and below a sandbox, the agent's below it. */
async function targetsOf(sandboxId: string): Promise<Target[]> {
  const isOwn = (method: DescMethod) =>
    GATEWAY_SERVICES.some((service) => service.typeName === method.parent.typeName);
  const isAgents = (method: DescMethod) => accessOf(method)?.kind === 'scope';
  const methods = (await allMethods()).filter((method) => isOwn(method) || isAgents(method));
  return methods.flatMap((method) => {
    const path = `/${method.parent.typeName}/${method.name}`;
    const isStream = method.methodKind !== 'unary';
    const below = { path: `/sandboxes/${sandboxId}${path}`, isStream };
    return isOwn(method) ? [below, { path, isStream }] : [below];
  });
}

function headerOf({ authorization }: Forgery): Record<string, string | readonly string[]> {
  return { authorization };
}

function cookieOf({ cookie }: Forgery, origin?: string): Record<string, string> {
  return { cookie: `__Host-computesdk=${cookie}`, ...(origin !== undefined && { origin }) };
}

function call(
  front: TestFront,
  { path, isStream }: Target,
  headers: Record<string, string | readonly string[]>,
): Promise<Answer> {
  const json = Buffer.from('{}');
  const body = isStream ? Buffer.concat([Buffer.from([0, 0, 0, 0, json.length]), json]) : json;
  const type = isStream ? 'application/connect+json' : 'application/json';
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', headers: { 'content-type': type, ...headers } };
    const sent = request(front.url + path, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('end', () => {
        const bytes = Buffer.concat(chunks);
        const isEnvelope = answer.headers['content-type']?.includes('connect+') ?? false;
        const text = (isEnvelope ? bytes.subarray(5) : bytes).toString();
        const parsed = JSON.parse(text || '{}');
        resolve({ status: answer.statusCode ?? 0, error: isEnvelope ? parsed.error : parsed });
      });
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

function shapeOf(error: Record<string, unknown>): string {
  return Object.keys(error).sort().join();
}

async function runAll<T>(jobs: readonly T[], run: (job: T) => Promise<void>): Promise<void> {
  const left = jobs.values();
  const worker = async () => {
    for (const job of left) await run(job);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
