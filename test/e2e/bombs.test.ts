import { brotliCompressSync, gzipSync, constants as zlib } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { peakBytes, resetPeak } from '../support/peak-memory.ts';
import { residentBytes } from '../support/processes.ts';
import {
  contentTypeOf,
  encodingHeaderOf,
  envelope,
  RAW_PROTOCOLS,
  type RawCall,
  type RawProtocol,
  sendHttp1,
} from '../support/raw-call.ts';
import { report } from '../support/report.ts';
import { timeBound } from '../support/time-bound.ts';

const MIB = 2 ** 20;
/** What a bomb becomes. */
const EXPANDED_BYTES = 200 * MIB;
const MAX_GROWTH_BYTES = 80 * MIB;
const MAX_ANSWER_MS = 1_000;
/** Bombs at a time in the second round. */
const AT_ONCE = 8;
const COMPRESSED_FLAG = 1;

type Bomb = { readonly encoding: string; readonly bytes: Buffer };

let gateway: TestGateway;
let sandboxUrl: string;
let sandboxId: string;
let token: string;
let bombs: Bomb[];

beforeAll(async () => {
  gateway = await TestGateway.start();
  const created = await newSandbox(gateway);
  ({ url: sandboxUrl, id: sandboxId } = created.sandbox);
  token = created.token;
  const zeros = Buffer.alloc(EXPANDED_BYTES);
  const quick = { params: { [zlib.BROTLI_PARAM_QUALITY]: 3 } };
  bombs = [
    { encoding: 'gzip', bytes: gzipSync(zeros, { level: 9 }) },
    { encoding: 'br', bytes: brotliCompressSync(zeros, quick) },
  ];
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

test('a compressed message that would fill the memory is refused at once, in every protocol', async () => {
  const calls = bombs.flatMap((bomb) =>
    RAW_PROTOCOLS.flatMap((protocol) => callsOf(protocol, bomb)),
  );
  // What the first call of each kind loads is no growth.
  for (const { call } of calls) await send({ ...call, body: Buffer.alloc(0) });
  const agents = gateway.agentPids(sandboxId);
  expect(agents.length).toBeGreaterThan(0);
  const pids = [gateway.pid, ...agents];
  const before = pids.map((pid) => residentBytes(pid));
  for (const pid of pids) resetPeak(pid);
  let slowestMs = 0;
  for (const { name, call } of calls) {
    const startedAt = performance.now();
    const answer = await send(call);
    const ms = performance.now() - startedAt;
    slowestMs = Math.max(slowestMs, ms);
    // The agent and the gateway's services count before they decompress everything.
    expect(answer, name).toMatchObject({ code: 'resource_exhausted' });
  }
  expect(slowestMs).toBeLessThan(await timeBound(MAX_ANSWER_MS));
  for (let round = 0; round < 3; round += 1) {
    for (let at = 0; at < calls.length; at += AT_ONCE) {
      await Promise.all(calls.slice(at, at + AT_ONCE).map(({ call }) => send(call)));
    }
  }
  const growth = pids.map((pid, index) => peakBytes(pid) - (before[index] ?? 0));
  for (const bytes of growth) expect(bytes).toBeLessThan(MAX_GROWTH_BYTES);
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
  report({
    test: 'compression bombs',
    count: calls.length * 4,
    figures: {
      'slowest ms': slowestMs,
      'gateway peak MB': (growth[0] ?? 0) / MIB,
      'agent peak MB': (growth[1] ?? 0) / MIB,
    },
  });
});

function send(call: RawCall) {
  const url = call.path.startsWith('/computesdk') ? gateway.url : new URL(sandboxUrl).origin;
  return sendHttp1(url, call, false);
}

function callsOf(protocol: RawProtocol, bomb: Bomb): { name: string; call: RawCall }[] {
  const isStream = protocol === 'connect-stream';
  const below = new URL(sandboxUrl).pathname;
  const paths = isStream
    ? [`${below}/computesdk.v1.TerminalService/AttachTerminal`, '/grpc.health.v1.Health/Watch']
    : [
        '/computesdk.v1.SandboxService/GetSandbox',
        `${below}/computesdk.v1.AuthService/WhoAmI`,
        `${below}/computesdk.v1.TerminalService/WriteTerminal`,
        // Needs no credential.
        '/grpc.health.v1.Health/Check',
      ];
  const body = protocol === 'connect-unary' ? bomb.bytes : envelope(bomb.bytes, COMPRESSED_FLAG);
  return paths.map((path) => ({
    name: `${bomb.encoding} ${protocol} ${path}`,
    call: {
      path,
      headers: {
        'content-type': contentTypeOf(protocol),
        [encodingHeaderOf(protocol)]: bomb.encoding,
        authorization: `Bearer ${path.includes('Sandbox') ? gateway.apiKey : token}`,
      },
      body,
    },
  }));
}
