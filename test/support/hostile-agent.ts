import { appendFileSync } from 'node:fs';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';

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
