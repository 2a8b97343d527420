import { readFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
} from 'node:http2';
import { connect } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AttachTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { newSandbox, terminalClient } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { HonestUsers, type HonestView } from '../support/honest-users.ts';
import { FRAME, frame, GET_ROOT, PREFACE } from '../support/http2-frames.ts';
import { envelope } from '../support/raw-call.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { delay, until } from '../support/until.ts';

const LORISES = scaled(2_000);
const STALLED = 200;
/** One byte each. */
const DRIBBLE_MS = 500;
const MAX_LORIS_MS = 15_000;
const MAX_STALLED_MS = 35_000;
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
    Array.from({ length: LORISES }, (_, index) => kinds[index % kinds.length]?.() ?? 0),
  ).then((all) => {
    times = all;
  });
  const view = await honest.during(attack);
  const slowest = Math.max(...times);
  reportView('slow lorises', LORISES, view, { 'slowest cut ms': slowest });
  expect(slowest).toBeLessThanOrEqual(MAX_LORIS_MS);
  // Cut for their slowness, not for what they sent.
  expect(Math.min(...times)).toBeGreaterThan(4_000);
  expectUndisturbed(view);
}, 90_000);

it('cuts clients that read nothing of a flood within 35 s, and nobody else feels them', async () => {
  const terminals = terminalClient(sandboxUrl, token);
  const args = ['-c', 'exec cat /dev/zero'];
  const { terminal } = await terminals.createTerminal({ shell: '/bin/sh', args });
  const terminalId = terminal?.id ?? '';
  const sessions: ClientHttp2Session[] = [];
  const stalled = await Promise.all(
    Array.from({ length: STALLED }, (_, index) =>
      index % 2 === 0 ? stallHttp1(terminalId) : stallHttp2(terminalId, sessions),
    ),
  );
  const startedAt = performance.now();
  const isLeft = () => stalled.filter(({ isOpen }) => isOpen()).length;
  let cutMs = 0;
  const attack = (async () => {
    await delay(5_000);
    expect(isLeft()).toBe(STALLED);
    await until(() => isLeft() === 0, { what: 'the end of stalled readers', withinMs: 60_000 });
    cutMs = performance.now() - startedAt;
  })();
  const view = await honest.during(attack);
  reportView('stalled readers', STALLED, view, { 'last cut ms': cutMs });
  for (const { close } of stalled) close();
  for (const session of sessions) session.destroy();
  expect(cutMs).toBeLessThanOrEqual(MAX_STALLED_MS);
  expectUndisturbed(view);
  await terminals.destroyTerminal({ terminalId });
}, 120_000);

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
    const socket = connect(gateway.port, '127.0.0.1', () => socket.write(start));
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

/** A reader that has begun to listen and takes nothing. */
type StalledReader = { isOpen(): boolean; close(): void };

function attachment(terminalId: string) {
  const message = create(AttachTerminalRequestSchema, { terminalId });
  const headers = {
    'content-type': 'application/connect+proto',
    'connect-protocol-version': '1',
    authorization: `Bearer ${token}`,
  };
  const url = new URL(`${sandboxUrl}/computesdk.v1.TerminalService/AttachTerminal`);
  return { url, headers, body: envelope(toBinary(AttachTerminalRequestSchema, message)) };
}

async function stallHttp1(terminalId: string): Promise<StalledReader> {
  const { url, headers, body } = attachment(terminalId);
  let call: ClientRequest | undefined;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    call = request(url, { method: 'POST', headers, agent: false }, resolve);
    call.on('error', reject);
    call.end(body);
  });
  // Nobody listens to its data, so nothing is read.
  response.on('error', () => {});
  expect(response.statusCode).toBe(200);
  const port = response.socket.localPort ?? 0;
  return { isOpen: () => hasConnectionFrom(port), close: () => call?.destroy() };
}

async function stallHttp2(
  terminalId: string,
  sessions: ClientHttp2Session[],
): Promise<StalledReader> {
  const { url, headers, body } = attachment(terminalId);
  const session = connectHttp2(url.origin);
  sessions.push(session);
  session.on('error', () => {});
  const stream: ClientHttp2Stream = session.request({
    ...{ ':method': 'POST', ':path': url.pathname },
    ...headers,
  });
  stream.on('error', () => {});
  stream.end(body);
  await new Promise((resolve, reject) => {
    stream.once('response', resolve);
    stream.once('close', () => reject(new Error('closed before its answer')));
  });
  return { isOpen: () => !stream.closed, close: () => stream.close() };
}

let lookedAt = 0;
let connections: ReadonlySet<number> = new Set();

/** Whether the gateway's end of the connection from a port is open. The client's end tells only once it reads. */
function hasConnectionFrom(port: number): boolean {
  if (performance.now() - lookedAt > 100) {
    lookedAt = performance.now();
    connections = new Set(['/proc/net/tcp', '/proc/net/tcp6'].flatMap(openPorts));
  }
  return connections.has(port);
}

/** Ports of clients with an established connection to the gateway. */
function openPorts(path: string): number[] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local, , state]) => state === '01' && portOf(local) === gateway.port)
    .map(([, , remote]) => portOf(remote));
}

function portOf(address: string | undefined): number {
  return Number.parseInt(address?.split(':')[1] ?? '0', 16);
}
