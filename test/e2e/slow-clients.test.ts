import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { newSandbox, terminalClient } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { HonestUsers, type HonestView } from '../support/honest-users.ts';
import { FRAME, frame, GET_ROOT, PREFACE } from '../support/http2-frames.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { stallHttp1, stallHttp2, untilCut } from '../support/stalled-readers.ts';
import { delay } from '../support/until.ts';

const LORISES = scaled(2_000);
const STALLED = 200;
/** One byte each. */
const DRIBBLE_MS = 500;
const MAX_LORIS_MS = 15_000;
const MAX_STALLED_MS = 35_000;
/** Filling what the kernel holds for 200 readers takes long on a busy machine, in milliseconds. */
const FILLING_MS = 150_000;
/** How much slower honest calls may become, while one of two cores plays the attackers. */
const MAX_MEDIAN_RATIO = 2;
const MAX_P95_RATIO = 4;

let gateway: TestGateway;
let control: TestGateway;
let honest: HonestUsers;
let sandboxUrl: string;
let token: string;

beforeAll(async () => {
  [gateway, control] = await Promise.all([TestGateway.start(), TestGateway.start()]);
  honest = await HonestUsers.of(gateway, control);
  const created = await newSandbox(gateway);
  ({ url: sandboxUrl } = created.sandbox);
  token = created.token;
}, 60_000);
afterAll(async () => {
  honest.close();
  await Promise.all([gateway.stop(), control.stop()]);
}, 60_000);

it('cuts clients that dribble their requests within 15 s, and nobody else feels them', async () => {
  const kinds = [slowHeaders, slowBody, slowHttp2Headers, slowHttp2Body];
  let times: number[] = [];
  const attack = Promise.all(
    Array.from({ length: LORISES }, (_, index) => (kinds[index % kinds.length] ?? slowBody)()),
  ).then((all) => {
    times = all;
  });
  const [view, calls] = await Promise.all([honest.during(attack), callUntil(attack)]);
  const slowest = Math.max(...times);
  reportView('slow lorises', LORISES, view, {
    'slowest cut ms': slowest,
    'calls into the same sandbox': calls,
  });
  expect(calls).toBeGreaterThan(10);
  expect(slowest).toBeLessThanOrEqual(MAX_LORIS_MS);
  // Cut for their slowness, not for what they sent.
  expect(Math.min(...times)).toBeGreaterThan(4_000);
  expectUndisturbed(view);
}, 90_000);

it(
  'cuts clients that read nothing of a flood within 35 s, and nobody else feels them',
  async () => {
    const terminals = terminalClient(sandboxUrl, token);
    const args = ['-c', 'exec cat /dev/zero'];
    const { terminal } = await terminals.createTerminal({ shell: '/bin/sh', args });
    const terminalId = terminal?.id ?? '';
    const attachment = { sandboxUrl, token, terminalId };
    const stalled = await Promise.all(
      Array.from({ length: STALLED }, (_, index) =>
        index % 2 === 0 ? stallHttp1(attachment) : stallHttp2(attachment),
      ),
    );
    let times: number[] = [];
    const waiting = untilCut(stalled, { serverPort: gateway.port, withinMs: FILLING_MS });
    const attack = waiting.then((all) => {
      times = all;
    });
    const view = await honest.during(attack);
    for (const { close } of stalled) close();
    const slowest = Math.max(...times);
    reportView('stalled readers', STALLED, view, { 'slowest cut ms': slowest });
    expect(slowest).toBeLessThanOrEqual(MAX_STALLED_MS);
    // Cut for their slowness, after the 30 s that they have. The kernel moves some bytes later still.
    const median = times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? 0;
    expect(median).toBeGreaterThan(25_000);
    expectUndisturbed(view);
    await terminals.destroyTerminal({ terminalId });
  },
  FILLING_MS + 30_000,
);

/** Calls into the sandbox that the attack is aimed at, with the attackers' token. Rejects if one is refused. */
async function callUntil(attack: Promise<unknown>): Promise<number> {
  let isOver = false;
  const over = () => {
    isOver = true;
  };
  void attack.then(over, over);
  const terminals = terminalClient(sandboxUrl, token);
  let calls = 0;
  for (; !isOver; calls += 1) {
    await terminals.listTerminals({});
    await delay(DRIBBLE_MS);
  }
  return calls;
}

function reportView(
  test: string,
  count: number,
  view: HonestView,
  figures: Readonly<Record<string, number>>,
): void {
  const { calls, medianMs, controlMedianMs, medianRatio, p95Ratio } = view;
  const ratios = { 'median ratio': medianRatio, 'p95 ratio': p95Ratio };
  const honestly = { 'honest calls': calls, 'median ms': medianMs, 'control ms': controlMedianMs };
  report({ test, count, figures: { ...figures, ...honestly, ...ratios } });
}

function expectUndisturbed(view: HonestView): void {
  expect(view.failures).toBe(0);
  expect(view.calls).toBeGreaterThan(100);
  expect(view.medianRatio).toBeLessThan(MAX_MEDIAN_RATIO);
  expect(view.p95Ratio).toBeLessThan(MAX_P95_RATIO);
}

/** Dribbles bytes on a connection. Resolves with how long it lived. */
function dribble(start: string | Buffer, next: () => string | Buffer): Promise<number> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const socket = connect(gateway.port, '127.0.0.1');
    // Before it is connected, which may take longer than a piece: the pieces come after the start.
    socket.write(start);
    const timer = setInterval(() => socket.write(next()), DRIBBLE_MS);
    socket.on('error', () => {}).resume();
    socket.on('close', () => {
      clearInterval(timer);
      resolve(performance.now() - startedAt);
    });
  });
}

function slowHeaders(): Promise<number> {
  return dribble('POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ', () => 'x');
}

function slowBody(): Promise<number> {
  const path = `${new URL(sandboxUrl).pathname}/computesdk.v1.TerminalService/ListTerminals`;
  const head = [
    `POST ${path} HTTP/1.1`,
    ...['Host: localhost', `Authorization: Bearer ${token}`],
    ...['Content-Type: application/json', 'Content-Length: 1000', '', '{'],
  ];
  return dribble(head.join('\r\n'), () => ' ');
}

function slowHttp2Headers(): Promise<number> {
  const settings = frame({ type: FRAME.settings });
  // Announces more than it sends.
  const headers = frame({ type: FRAME.headers, stream: 1, payload: GET_ROOT });
  headers.writeUIntBE(1_000, 0, 3);
  return dribble(Buffer.concat([PREFACE, settings, headers]), () => 'x');
}

function slowHttp2Body(): Promise<number> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    const session = connectHttp2(gateway.url);
    session.on('error', () => {});
    const path = `${new URL(sandboxUrl).pathname}/computesdk.v1.TerminalService/ListTerminals`;
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const stream = session.request({ ':method': 'POST', ':path': path, ...headers });
    stream.write('{');
    const timer = setInterval(() => stream.write(' '), DRIBBLE_MS);
    stream.on('error', () => {}).resume();
    stream.on('close', () => {
      clearInterval(timer);
      session.destroy();
      resolve(performance.now() - startedAt);
    });
  });
}
