import { Agent } from 'node:http';
import { type ClientHttp2Session, connect } from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { GetTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { AccessStage, asBearer, type IssuedToken, QUIET } from '../support/access-stage.ts';
import { FrameClient } from '../support/frame-client.ts';
import { TestGateway } from '../support/gateway.ts';
import { CUT, type RawCall, type RawResult, sendHttp1, sendHttp2 } from '../support/raw-call.ts';
import { report } from '../support/report.ts';
import { scaled, seed, seededRandom } from '../support/scale.ts';
import { delay } from '../support/until.ts';

const CALLS_PER_ROUND = 20;
const ROUNDS = scaled(20_000 / CALLS_PER_ROUND);
/** How many tokens are revoked at a time. */
const LANES = 4;
/** Calls are made from this long before Revoke is called on, in milliseconds. */
const LEAD_MS = 5;
const NO_FIELDS = new Uint8Array();
const METHODS = [
  'AuthService/WhoAmI',
  'TerminalService/ListTerminals',
  'TerminalService/GetTerminal',
];

type Sent = { readonly sentAt: number; readonly path: string; readonly result: RawResult };

let gateway: TestGateway;
let stage: AccessStage;
let terminalId: string;
const agent = new Agent({ keepAlive: true, maxSockets: 64 });
let session: ClientHttp2Session;
/** A WebSocket that lives on, whose calls bring their own credentials. */
let shared: FrameClient;

beforeAll(async () => {
  gateway = await TestGateway.start({ env: { COMPUTESDK_LOG_LEVEL: 'warn' } });
  stage = await AccessStage.open(gateway);
  terminalId = await stage.terminal(QUIET);
  session = connect(gateway.url);
  shared = new FrameClient({ url: stage.url, headers: asBearer(await stage.token()) });
}, 60_000);
afterAll(async () => {
  agent.destroy();
  session.destroy();
  shared.close();
  await gateway.stop();
}, 60_000);

it('no call that was sent after Revoke answered succeeds', async () => {
  const random = seededRandom(seed);
  const counts = { succeededBefore: 0, refusedBefore: 0, sentAfter: 0 };
  const wrong: unknown[] = [];
  /** Why the connections ended that had said hello with a token. */
  const ends: string[] = [];
  const lane = async () => {
    for (let round = 0; round < ROUNDS / LANES; round++) {
      const token = await stage.token();
      // A token that was never used is read from the database while it is being revoked.
      const own = random.chance(0.5) ? await knownSocket(token) : undefined;
      const { answeredAt, calls } = await race(token, random.below(LEAD_MS), own);
      if (own) ends.push(own.call('AuthService/WhoAmI', NO_FIELDS).reason ?? 'none');
      own?.close();
      for (const { sentAt, path, result } of calls) {
        const isOk = result.status === 200 && result.code === 'ok';
        if (sentAt < answeredAt) counts[isOk ? 'succeededBefore' : 'refusedBefore'] += 1;
        else counts.sentAfter += 1;
        const isRefused = result.status === 401 && result.code === 'unauthenticated';
        if (sentAt >= answeredAt && !isRefused)
          wrong.push({ path, result, lateMs: sentAt - answeredAt });
        if (!isOk && !isRefused) wrong.push({ path, result });
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  report({
    test: 'races of revoke against new calls',
    count: counts.succeededBefore + counts.refusedBefore + counts.sentAfter,
    figures: counts,
  });
  expect(wrong).toEqual([]);
  expect(shared.isOver).toBe(false);
  expect(ends).toEqual(ends.map(() => 'REVOKED'));
  expect(counts.succeededBefore).toBeGreaterThan(0);
  expect(counts.sentAfter).toBeGreaterThan(ROUNDS);
});

/** Makes calls, a few before and the rest during and after the revocation of their token. */
async function race(token: IssuedToken, leadMs: number, own?: FrameClient) {
  const calls: Array<Promise<Sent>> = [];
  const make = (count: number) => {
    for (let made = 0; made < count && calls.length < CALLS_PER_ROUND; made++) {
      calls.push(send(token, calls.length, own));
    }
  };
  make(4);
  await delay(leadMs);
  let isAnswered = false;
  const revoked = stage.revoke(token).finally(() => {
    isAnswered = true;
  });
  make(3);
  while (!isAnswered && calls.length < CALLS_PER_ROUND - 6) {
    make(1);
    await new Promise((resolve) => setImmediate(resolve));
  }
  const answeredAt = await revoked;
  make(CALLS_PER_ROUND);
  return { answeredAt, calls: await Promise.all(calls) };
}

async function send(token: IssuedToken, index: number, own?: FrameClient): Promise<Sent> {
  const method = METHODS[index % METHODS.length] ?? '';
  if (index % 4 === 2) return sendFrames(shared, method, asBearer(token));
  if (index % 4 === 3 && own) return sendFrames(own, method, {});
  const path = `${new URL(stage.url).pathname}/computesdk.v1.${method}`;
  const body = method.endsWith('GetTerminal') ? JSON.stringify({ terminalId }) : '{}';
  const headers = { 'content-type': 'application/json', ...asBearer(token) };
  const call: RawCall = { path, headers, body: Buffer.from(body) };
  const sentAt = performance.now();
  const result = await (index % 4 === 0
    ? sendHttp1(gateway.url, call, agent)
    : sendHttp2(session, call));
  return { sentAt, path, result };
}

/** A WebSocket whose gateway knows the token. */
async function knownSocket(token: IssuedToken): Promise<FrameClient> {
  const client = new FrameClient({ url: stage.url, headers: asBearer(token) });
  await client.call('AuthService/WhoAmI', NO_FIELDS).ended;
  return client;
}

async function sendFrames(
  client: FrameClient,
  method: string,
  headers: Readonly<Record<string, string>>,
): Promise<Sent> {
  const isGet = method.endsWith('GetTerminal');
  const message = isGet
    ? toBinary(GetTerminalRequestSchema, create(GetTerminalRequestSchema, { terminalId }))
    : NO_FIELDS;
  const sentAt = performance.now();
  const answer = client.call(method, message, { headers });
  await answer.ended;
  return { sentAt, path: `frames ${method}`, result: answer.result ?? CUT };
}
