import {
  contentTypeOf,
  encodingHeaderOf,
  envelope,
  RAW_PROTOCOLS,
  type RawCall,
  type RawProtocol,
} from './raw-call.ts';
import type { SeededRandom } from './scale.ts';

/** What is wrong with a request. */
export const MALFORMED_KINDS = [
  'garbage message',
  'wrong JSON',
  'lying length',
  'envelope flags',
  'content type',
  'compression',
  'host',
  'metadata',
  'target',
  'raw bytes',
] as const;
export type MalformedKind = (typeof MALFORMED_KINDS)[number];

export type MalformedTargets = {
  /** Path of a sandbox's address. */
  readonly sandboxPath: string;
  readonly apiKey: string;
  readonly token: string;
};

type Draft = { protocol: RawProtocol; call: RawCall };

const ROOT_METHODS = [
  'SandboxService/GetSandbox',
  'SandboxService/FindSandbox',
  'SandboxService/ListSandboxes',
  'SessionTokenService/GetSessionToken',
  'SessionTokenService/ListSessionTokens',
  'AuthService/WhoAmI',
];
const SANDBOX_METHODS = [
  'TerminalService/GetTerminal',
  'TerminalService/ListTerminals',
  'TerminalService/WriteTerminal',
  'TerminalService/ResizeTerminal',
  'TerminalService/AcknowledgeTerminal',
  'AuthService/WhoAmI',
];
const STREAM_METHOD = 'TerminalService/AttachTerminal';
const MAX_GARBAGE_BYTES = 400;
const BAD_JSON = [
  '{',
  '[]',
  'null',
  '"x"',
  '{"sandboxId":5}',
  '{"sandboxId":null,"sandboxId":{}}',
  '{"pageSize":"1e999"}',
  '{"pageSize":-1}',
  '{"__proto__":{"x":1}}',
  '{"unknown":true}',
  '{"terminalId":"\\ud800"}',
  '{"data":"%%%"}',
  '\u0000',
  `{"a":${'['.repeat(5_000)}`,
  `${'{"a":'.repeat(2_000)}1${'}'.repeat(2_000)}`,
];
const BAD_TYPES = [
  '',
  'text/plain',
  'application/',
  'application/grpc-web-text',
  'application/json; charset=utf-7',
  'application/connect+xml',
  'multipart/form-data',
  'application/proto, application/json',
  '\u00ff',
];
const BAD_ENCODINGS = ['gzip', 'br', 'deflate', 'zstd', 'gzip, gzip', '', 'identity;q=1', '../x'];
const BAD_HOSTS = [
  '[',
  'a b',
  'x:99999',
  'evil.example',
  '[::1',
  'localhost:port',
  'a,b',
  '\u00ff',
  '.',
  'x'.repeat(300),
];
const BAD_METADATA: readonly Readonly<Record<string, string>>[] = [
  { 'connect-timeout-ms': 'NaN' },
  { 'connect-timeout-ms': '-1' },
  { 'connect-timeout-ms': '99999999999' },
  { 'grpc-timeout': '1X' },
  { 'grpc-timeout': '999999999S' },
  { 'connect-protocol-version': '9' },
  { authorization: 'Bearer \u00ff\u00fe' },
  { authorization: `Bearer ${'x'.repeat(9_000)}` },
  { authorization: 'Basic x:y' },
  { cookie: '=;;=;__Host-computesdk=;__Host-computesdk=x' },
  { cookie: Array.from({ length: 500 }, (_, at) => `c${at}=1`).join('; ') },
  { origin: 'null' },
  { origin: 'http://\u00ff' },
  { 'x-forwarded-for': ','.repeat(5_000) },
  { 'grpc-metadata-bin': '!!!' },
  { te: 'gzip' },
  { expect: '100-continue' },
  { range: 'bytes=0-1,1-2' },
  { 'x-long': 'x'.repeat(15_000) },
];
const BAD_PATHS = [
  '//',
  '/%',
  '/%00',
  '/..%2f..',
  '/sandboxes/',
  '/sandboxes//',
  '/sandboxes/x/y',
  '/computesdk.v1.SandboxService/',
  '/computesdk.v1.Nothing/Get',
  '/a/b/c/d',
  '/?',
  '/?token=',
  '/?=&&=',
  '/sandboxes/sbx00000000000000000000000000/a/b',
  '/computesdk.v1.AuthService/WhoAmI?connect=v1&encoding=json&message=%',
  '/computesdk.v1.AuthService/WhoAmI?encoding=proto&base64=1&message=!!',
  `/${'x'.repeat(8_000)}`,
];
const BAD_METHODS = ['GET', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'PROPFIND'];

/** One malformed request. Kind `raw bytes` is for {@link malformedBytes}. */
export function malformedCall(
  kind: MalformedKind,
  targets: MalformedTargets,
  random: SeededRandom,
): RawCall {
  const draft = validDraft(targets, random);
  const { protocol, call } = draft;
  switch (kind) {
    case 'garbage message':
      return { ...call, body: framed(protocol, random.bytes(random.below(MAX_GARBAGE_BYTES))) };
    case 'wrong JSON':
      return {
        ...call,
        headers: {
          ...call.headers,
          'content-type': contentTypeOf(protocol).replace('proto', 'json'),
        },
        body: framed(protocol, Buffer.from(pick(BAD_JSON, random))),
      };
    case 'lying length':
      return { ...call, body: lyingBody(random) };
    case 'envelope flags':
      return { ...call, body: flaggedBody(random) };
    case 'content type':
      return { ...call, headers: { ...call.headers, 'content-type': pick(BAD_TYPES, random) } };
    case 'compression':
      return {
        ...call,
        headers: { ...call.headers, [encodingHeaderOf(protocol)]: pick(BAD_ENCODINGS, random) },
        body: framed(protocol, random.bytes(1 + random.below(100)), 1),
      };
    case 'host':
      return { ...call, headers: { ...call.headers, host: pick(BAD_HOSTS, random) } };
    case 'metadata':
      return { ...call, headers: { ...call.headers, ...pick(BAD_METADATA, random) } };
    case 'target':
      return random.chance(0.5)
        ? { ...call, path: pick(BAD_PATHS, random) }
        : { ...call, method: pick(BAD_METHODS, random) };
    case 'raw bytes':
      return call;
  }
}

/** What no HTTP client would send, over HTTP/1.1 or HTTP/2. */
export function malformedBytes(random: SeededRandom): Buffer {
  const start = pick(
    [
      'GET / HTTP/9.9\r\n\r\n',
      'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab',
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc',
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n',
      'POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n',
      'GET / HTTP/1.1\r\nHost : localhost\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: localhost\r\n folded: x\r\n\r\n',
      'GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n',
      'CONNECT evil:443 HTTP/1.1\r\nHost: evil\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n',
      `GET / HTTP/1.1\r\n${'a: b\r\n'.repeat(4_000)}\r\n`,
      '\u0016\u0003\u0001\u0002',
      '\r\n\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n',
    ],
    random,
  );
  if (random.chance(0.5))
    return Buffer.concat([Buffer.from(start, 'latin1'), random.bytes(random.below(50))]);
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');
  return Buffer.concat([
    preface,
    ...Array.from({ length: 1 + random.below(5) }, () => badFrame(random)),
  ]);
}

/** A frame of any type with any flags, whose length may lie. */
function badFrame(random: SeededRandom): Buffer {
  const payload = random.bytes(random.below(60));
  const head = Buffer.alloc(9);
  head.writeUIntBE(random.chance(0.8) ? payload.length : random.below(2 ** 24), 0, 3);
  head[3] = random.below(12);
  head[4] = random.below(256);
  head.writeUInt32BE(random.chance(0.5) ? random.below(8) : random.below(2 ** 31), 5);
  return Buffer.concat([head, payload]);
}

function validDraft({ sandboxPath, apiKey, token }: MalformedTargets, random: SeededRandom): Draft {
  const protocol = pick(RAW_PROTOCOLS, random);
  const isStream =
    protocol === 'connect-stream' || (protocol !== 'connect-unary' && random.chance(0.2));
  const isRoot = !isStream && random.chance(0.5);
  const method = isStream ? STREAM_METHOD : pick(isRoot ? ROOT_METHODS : SANDBOX_METHODS, random);
  const path = `${isRoot ? '' : sandboxPath}/computesdk.v1.${method}`;
  const credential = isRoot ? apiKey : token;
  const authorization = random.chance(0.8) ? { authorization: `Bearer ${credential}` } : {};
  const headers = { 'content-type': contentTypeOf(protocol), te: 'trailers', ...authorization };
  return { protocol, call: { path, headers, body: framed(protocol, Buffer.alloc(0)) } };
}

function framed(protocol: RawProtocol, message: Uint8Array, flags = 0): Uint8Array {
  return protocol === 'connect-unary' ? message : envelope(message, flags);
}

function lyingBody(random: SeededRandom): Buffer {
  const data = random.bytes(random.below(50));
  const lengths = [2 ** 32 - 1, 2 ** 31, data.length + 1, 0, 262_145, data.length + 100_000];
  return envelope(data, 0, pick(lengths, random));
}

function flaggedBody(random: SeededRandom): Buffer {
  const storm = Array.from({ length: 1 + random.below(200) }, () => envelope(Buffer.alloc(0)));
  const trailing = Buffer.concat([envelope(Buffer.alloc(0)), random.bytes(1 + random.below(4))]);
  const flagged = envelope(random.bytes(random.below(20)), 1 + random.below(255));
  return pick([Buffer.concat(storm), trailing, flagged, Buffer.alloc(0)], random);
}

function pick<T>(from: readonly [T, ...T[]] | readonly T[], random: SeededRandom): T {
  const item = from[random.below(from.length)];
  if (item === undefined) throw new Error('nothing to pick from');
  return item;
}
