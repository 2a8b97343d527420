import type { Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import type { Protocol } from '../../../../server/rpc/call-form.ts';
import { withToken } from './calls.ts';
import { type FakeAgent, type Gateway, startGateway, startRawAgent } from './fixture.ts';
import { exchange } from './raw-exchange.ts';

let agent: FakeAgent | undefined;
let gateway: Gateway | undefined;

afterEach(async () => {
  await gateway?.close();
  await agent?.close();
});

const TYPES: Record<Protocol, string> = {
  'connect-unary': 'application/json',
  'connect-stream': 'application/connect+json',
  grpc: 'application/grpc+proto',
  'grpc-web': 'application/grpc-web+proto',
};
const PROTOCOLS = Object.keys(TYPES) as Protocol[];
const STREAMS = PROTOCOLS.filter((protocol) => protocol !== 'connect-unary');

/** What a hostile agent answers, whatever the protocol. `type` is the right Content-Type. */
const anywhere: Array<[string, (type: string) => string]> = [
  ['a page', () => http('200 OK', 'Content-Type: text/html', '<script>alert(1)</script>')],
  ['a page with an error status', () => http('404 Not Found', 'Content-Type: text/html', '<h1>')],
  ['no Content-Type', () => http('200 OK', '', '{}')],
  ['two Content-Types in one', (type) => http('200 OK', `Content-Type: ${type}, text/html`, '{}')],
  [
    'a redirect',
    (type) => http('302 Found', `Content-Type: ${type}\r\nLocation: http://evil.example/`, ''),
  ],
  [
    'a permanent redirect',
    (type) => http('308 Permanent Redirect', `Content-Type: ${type}\r\nLocation: /`, ''),
  ],
  [
    'a demand for a password',
    () =>
      http(
        '401 Unauthorized',
        'Content-Type: application/json\r\nWWW-Authenticate: Basic realm="x"',
        '{}',
      ),
  ],
  [
    'a demand for a proxy password',
    (type) => http('407 Proxy Authentication Required', `Content-Type: ${type}`, '{}'),
  ],
  [
    'an interim response',
    (type) =>
      `HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n${http('200 OK', `Content-Type: ${type}`, '{}')}`,
  ],
  [
    'a change of protocol',
    () => 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n',
  ],
  ['a status of 204', (type) => `HTTP/1.1 204 No Content\r\nContent-Type: ${type}\r\n\r\n`],
  [
    'a compressed body',
    (type) => http('200 OK', `Content-Type: ${type}\r\nContent-Encoding: gzip`, 'xx'),
  ],
  [
    'headers above 16 KiB',
    (type) => http('200 OK', `Content-Type: ${type}\r\n${'X-Long: y\r\n'.repeat(4_000)}X: y`, '{}'),
  ],
  ['no HTTP', () => 'SSH-2.0-OpenSSH_9.2\r\n'],
  [
    'a broken chunk',
    (type) =>
      `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
  ],
];

/** What a hostile agent answers with the right head. */
const inStream: Array<[string, Buffer]> = [
  ['no end', envelope(0, '{}')],
  ['a part of an envelope', envelope(0, 'abcdef').subarray(0, 8)],
  ['a message of 4 GiB', Buffer.from([0, 255, 255, 255, 255, 1])],
  ['a message above the limit', envelope(0, 'x'.repeat(300_000))],
  ['unknown flags', envelope(0x40, '{}')],
  ['a compressed message', envelope(1, '{}')],
];

describe.each(PROTOCOLS)('an agent that takes part in %s', (protocol) => {
  it.each(anywhere)('answers with %s', async (_what, answer) => {
    const { raw } = await ask(protocol, (type) => [answer(type)]);
    expectRefused(raw, protocol);
  });
});

describe.each(STREAMS)('an agent that streams in %s', (protocol) => {
  it.each(inStream)('streams %s', async (_what, bytes) => {
    const head = `HTTP/1.1 200 OK\r\nContent-Type: ${TYPES[protocol]}\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const { raw } = await ask(protocol, () => [head, chunk(bytes), '0\r\n\r\n']);
    expectRefused(raw, protocol);
  });
});

describe('a hostile agent', () => {
  it('gets no header of its own to the client', async () => {
    const headers = [
      'Set-Cookie: session=stolen',
      'Access-Control-Allow-Origin: *',
      'Clear-Site-Data: "*"',
      'Content-Security-Policy: default-src *',
      'X-Content-Type-Options: sniff',
      'Strict-Transport-Security: max-age=9',
      'Refresh: 0; url=http://evil.example/',
      'Trailer-Set-Cookie: x=y',
      'Alt-Svc: h3="evil.example:443"',
    ].join('\r\n');
    const { raw, head } = await ask('connect-unary', (type) => [
      http('200 OK', `Content-Type: ${type}; charset=utf-8\r\n${headers}`, '{"a":1}'),
    ]);
    expect(raw).toContain('{"a":1}');
    const names = head
      .map((line) => line.split(':')[0])
      .slice(1)
      .sort();
    expect(names).toEqual([
      'Cache-Control',
      'Connection',
      'Content-Length',
      'Content-Security-Policy',
      'Content-Type',
      'Cross-Origin-Resource-Policy',
      'Date',
      'Keep-Alive',
      'Referrer-Policy',
      'Vary',
      'X-Content-Type-Options',
    ]);
    expect(head).toContain('Content-Type: application/json');
    expect(head).toContain('X-Content-Type-Options: nosniff');
    expect(head.find((line) => line.startsWith('Content-Security-Policy'))).toMatch(/; sandbox$/);
  });

  it('gets no trailer of its own to the client', async () => {
    const { raw } = await ask('grpc', (type) => [
      `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTrailer: Set-Cookie\r\nTransfer-Encoding: chunked\r\n\r\n`,
      chunk(envelope(0, 'ab')),
      '0\r\ngrpc-status: 0\r\nset-cookie: a=b\r\nx-other: c\r\n\r\n',
    ]);
    expect(raw).toContain('grpc-status: 0');
    expect(raw).not.toContain('a=b');
    expect(raw).not.toContain('x-other');
  });

  it.each(['headers', 'trailers'])('cannot keep a call open with endless %s', async (where) => {
    const { raw } = await ask('grpc', (type) => {
      const head = `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\n`;
      const start = where === 'headers' ? head : `${head}Transfer-Encoding: chunked\r\n\r\n0\r\n`;
      return endless(start, () => `x-${Math.random()}: y\r\n`);
    });
    expectRefused(raw, 'grpc');
  });

  it('cannot keep a call open with an endless chunk extension', async () => {
    const { raw } = await ask('grpc', (type) => {
      const head = `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n1;`;
      return endless(head, () => 'x'.repeat(100));
    });
    expectRefused(raw, 'grpc');
  });

  it('cannot end gRPC inside of a message', async () => {
    const { raw } = await ask('grpc', (type) => [
      `HTTP/1.1 200 OK\r\nContent-Type: ${type}\r\nTransfer-Encoding: chunked\r\n\r\n`,
      chunk(envelope(0, 'abcdef').subarray(0, 8)),
      '0\r\ngrpc-status: 0\r\n\r\n',
    ]);
    expectRefused(raw, 'grpc');
  });

  it('cannot say that the caller is not authenticated', async () => {
    const { raw } = await ask('grpc', (type) => [
      http('200 OK', `Content-Type: ${type}\r\ngrpc-status: 16`, ''),
    ]);
    expectRefused(raw, 'grpc');
  });

  it('cannot make an answer of a call without a stream larger than 1 MiB', async () => {
    const { raw } = await ask('connect-unary', (type) => [
      http('200 OK', `Content-Type: ${type}`, 'x'.repeat(1024 * 1024 + 1)),
    ]);
    expectRefused(raw, 'connect-unary');
  });

  it('that hangs up before it answers is unavailable', async () => {
    const { raw } = await ask('connect-unary', () => []);
    expect(raw).toContain('ERROR_REASON_AGENT_UNAVAILABLE');
  });

  it('that hangs up in its stream is unavailable', async () => {
    const head = `HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\nTransfer-Encoding: chunked\r\n\r\n`;
    const { raw } = await ask('connect-stream', () => [head, chunk(envelope(0, '{}'))]);
    expect(raw).toContain('ERROR_REASON_AGENT_UNAVAILABLE');
  });
});

/** Calls through the gateway an agent that answers with these bytes and hangs up. */
async function ask(protocol: Protocol, answer: (type: string) => Iterable<string | Buffer>) {
  agent = await startRawAgent((socket) => void write(socket, answer(TYPES[protocol])));
  gateway = await startGateway({ socketPath: agent.socketPath });
  const isUnary = protocol === 'connect-unary';
  const body = isUnary ? Buffer.from('{}') : envelope(0, protocol === 'connect-stream' ? '{}' : '');
  const method = isUnary ? 'GetTerminal' : 'AttachTerminal';
  const raw = await exchange(
    gateway.port,
    [
      `POST ${new URL(gateway.sandboxUrl).pathname}/computesdk.v1.TerminalService/${method} HTTP/1.1`,
      `Host: localhost:${gateway.port}`,
      `Authorization: ${withToken().headers.authorization}`,
      `Content-Type: ${TYPES[protocol]}`,
      `Content-Length: ${body.length}`,
    ],
    body,
  );
  return { raw, head: raw.slice(0, raw.indexOf('\r\n\r\n')).split('\r\n') };
}

async function write(socket: Socket, parts: Iterable<string | Buffer>): Promise<void> {
  for (const part of parts) {
    if (socket.destroyed) return;
    if (!socket.write(part)) await drained(socket);
  }
  socket.end();
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve);
    socket.once('close', resolve);
  });
}

function* endless(start: string, more: () => string): Iterable<string> {
  yield start;
  for (;;) yield more();
}

/** The client got a typed error in the call's protocol, and nothing of what the agent sent. */
function expectRefused(raw: string, protocol: Protocol): void {
  expect(raw).not.toMatch(/evil|script|<h1>|basic realm|set-cookie|early hints/i);
  expect(raw.slice(0, 15)).toMatch(
    protocol === 'connect-unary' ? 'HTTP/1.1 500 In' : 'HTTP/1.1 200 OK',
  );
  const head = raw.slice(0, raw.indexOf('\r\n\r\n'));
  expect(head).toContain(`Content-Type: ${TYPES[protocol]}`);
  switch (protocol) {
    case 'connect-unary':
    case 'connect-stream':
      expect(raw).toContain('ERROR_REASON_BAD_SANDBOX_RESPONSE');
      break;
    case 'grpc':
    case 'grpc-web':
      expect(raw).toMatch(/grpc-status: 15\r\n/i);
      // The details hold an ErrorDetail whose only field is the reason, 18.
      expect(Buffer.from(/details-bin: ([\w+/]+)/i.exec(raw)?.[1] ?? '', 'base64').at(-1)).toBe(18);
  }
}

function http(status: string, headers: string, body: string): string {
  const lines = [
    `HTTP/1.1 ${status}`,
    ...(headers ? [headers] : []),
    `Content-Length: ${body.length}`,
  ];
  return `${lines.join('\r\n')}\r\n\r\n${body}`;
}

function chunk(bytes: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`${bytes.length.toString(16)}\r\n`),
    bytes,
    Buffer.from('\r\n'),
  ]);
}

function envelope(flags: number, data: string): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt8(flags, 0);
  header.writeUInt32BE(data.length, 1);
  return Buffer.concat([header, Buffer.from(data)]);
}
