import { appendFileSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { decodeFrame, encodeFrame, MAX_REQUEST_FRAME_BYTES } from '../../frames/frame.ts';
import { FRAME_LINK_PROTOCOL } from '../../server/rpc/frame-link.ts';
import { FrameSplitter, withLength } from '../../server/rpc/frame-splitter.ts';

/** Where the hostile agent keeps all that reached it, inside the box. */
export const SEEN_FILE = 'seen.log';
/** What its scripts leave behind where they run. */
export const OWNED = 'owned';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** Everything that could be done to a browser by an answer's headers. */
const HEADERS: OutgoingHttpHeaders = {
  'Set-Cookie': ['session=stolen; Path=/', '__Host-computesdk=stolen; Path=/; Secure'],
  'Access-Control-Allow-Origin': 'https://evil.example',
  'Access-Control-Allow-Credentials': 'true',
  'WWW-Authenticate': 'Basic realm="Please sign in"',
  'Clear-Site-Data': '"*"',
  'Service-Worker-Allowed': '/',
  Refresh: '0; url=https://evil.example/',
  Link: '<https://evil.example/x.js>; rel=preload; as=script',
  'Content-Security-Policy': 'default-src *',
  'X-Content-Type-Options': 'sniff',
};
const SCRIPT = `document.title = '${OWNED}'; alert('${OWNED}'); localStorage.setItem('${OWNED}', '1');`;
const PAGE = `<!doctype html><title>fine</title><script>${SCRIPT}</script><body onload="${SCRIPT}">`;

/** How each method is answered. */
const ATTACKS: Readonly<Record<string, Handler>> = {
  GetTerminal: (_request, response) => page(response, 200, 'text/html'),
  ListTerminals: (_request, response) => {
    response.writeHead(302, { ...HEADERS, Location: 'https://evil.example/' }).end();
  },
  WriteTerminal: (_request, response) => page(response, 401, 'text/html'),
  // Valid but for its headers, which must not get through.
  ResizeTerminal: (request, response) => {
    const type = request.headers['content-type'] ?? 'application/json';
    response
      .writeHead(200, { ...HEADERS, 'Content-Type': type })
      .end(type.endsWith('json') ? '{}' : '');
  },
  SignalTerminal: (_request, response) => endlessHeaders(response),
  CreateTerminal: (_request, response) => page(response, 404, 'application/json'),
  AttachTerminal: (request, response) => {
    response.writeHead(200, { ...HEADERS, 'Content-Type': request.headers['content-type'] });
    response.write(Buffer.from([0, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]));
    response.write(PAGE);
  },
  DestroyTerminal: (_request, response) => response.socket?.end('HELLO, this is no HTTP\r\n\r\n'),
  AcknowledgeTerminal: (_request, response) => {
    response.writeHead(200, {
      ...HEADERS,
      'Content-Type': 'application/json',
      'Content-Length': '1000',
    });
    response.write('{"a":');
    response.socket?.end();
  },
  DetachTerminal: (_request, response) => page(response, 200, 'text/javascript'),
};

/**
 * Answers the gateway's own calls as the real agent does, and everything else as an attacker would.
 * @public The patched copy of the agent imports it.
 */
export function hostile(real: Handler): Handler {
  return (request, response) => {
    if (request.url?.startsWith('/computesdk.agent.v1.')) return real(request, response);
    const chunks: Buffer[] = [];
    request.on('data', (bytes: Buffer) => chunks.push(bytes));
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('latin1');
      const line = JSON.stringify({ url: request.url, headers: request.rawHeaders, body });
      appendFileSync(`/project/${SEEN_FILE}`, `${line}\n`);
      const method = request.url?.split('?')[0]?.split('/').at(-1) ?? '';
      const attack = ATTACKS[method] ?? ((_request, answer) => page(answer, 200, 'text/html'));
      attack(request, response);
    });
  };
}

/** How each method is answered on a link, by what is written in the place of a frame. */
const LINK_ATTACKS: Readonly<Record<string, (stream: number) => Buffer>> = {
  // A frame of 4 GB, one that is none, one that only the gateway sends, an error that only it may give.
  CreateTerminal: () => Buffer.from('ffffffff', 'hex'),
  ListTerminals: () => framed(Buffer.alloc(40, 0xff)),
  GetTerminal: () => framed(encodeFrame(0, { case: 'ended', value: { error: { code: 16 } } })),
  WriteTerminal: (stream) =>
    framed(encodeFrame(stream, { case: 'end', value: { error: UNKNOWN } })),
};
const UNKNOWN = { code: 16, message: 'forged' };

/**
 * Answers links as an attacker would, and keeps all that comes over them.
 * @public The patched copy of the agent imports it.
 */
export function hostileLinks(): (request: IncomingMessage, socket: Duplex) => void {
  return (request, socket) => {
    const keep = (bytes: Buffer | string) =>
      appendFileSync(`/project/${SEEN_FILE}`, `${bytes.toString('latin1')}\n`);
    keep(`${request.url} ${request.rawHeaders.join(' ')}`);
    socket.on('error', () => {});
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${FRAME_LINK_PROTOCOL}\r\n\r\n`,
    );
    const splitter = new FrameSplitter(MAX_REQUEST_FRAME_BYTES);
    socket.on('data', (chunk: Buffer) => {
      keep(chunk);
      for (const bytes of splitter.push(chunk)) {
        const { stream, body } = decodeFrame(bytes);
        if (body.case !== 'open') continue;
        const method = body.value.method.split('/').at(-1) ?? '';
        socket.write(LINK_ATTACKS[method]?.(stream) ?? framed(Buffer.of(0xff)));
      }
    });
  };
}

/**
 * Keeps all that comes to an agent that works, over HTTP and over links.
 * @public The patched copy of the agent imports it.
 */
export function recorded(server: Server): Server {
  const keep = (bytes: Buffer | string) =>
    appendFileSync(`/project/${SEEN_FILE}`, bytes.toString('latin1'));
  return server.on('connection', (socket: Socket) => socket.on('data', keep));
}

function framed(bytes: Uint8Array): Buffer {
  return withLength([bytes], bytes.length);
}

function page(response: ServerResponse, status: number, type: string): void {
  response.writeHead(status, { ...HEADERS, 'Content-Type': type }).end(PAGE);
}

function endlessHeaders(response: ServerResponse): void {
  const { socket } = response;
  if (!socket) return;
  socket.write('HTTP/1.1 200 OK\r\n');
  const more = () => {
    while (!socket.destroyed && socket.write(`X-Padding: ${'x'.repeat(1_000)}\r\n`));
  };
  socket.on('drain', more).on('error', () => {});
  more();
}
