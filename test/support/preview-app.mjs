// A program that serves a port in a sandbox and does what a path says: `node preview-app.mjs <host> <port>…`
import { createHash } from 'node:crypto';
import { createServer } from 'node:http';

const [host, ...ports] = process.argv.slice(2);
const seen = { late: '', aborted: 0, requests: [], connections: 0 };
let nextConnection = 0;

const ROUTES = {
  '/echo': (request, response) => answer(response, record(request)),
  '/page': (_request, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><title>app</title><h1>from the box</h1>');
  },
  '/seen': (_request, response) => answer(response, seen),
  '/connection': (request, response) => answer(response, { connection: request.socket.ordinal }),
  '/trailers': (_request, response) => {
    response.writeHead(200, { Trailer: 'X-Checksum', 'Content-Type': 'text/plain' });
    response.write('body');
    response.addTrailers({ 'X-Checksum': 'abc' });
    response.end();
  },
  '/big': (request, response) => {
    const bytes = Number(new URL(request.url, 'http://x').searchParams.get('bytes'));
    response.setHeader('Content-Length', bytes);
    let left = bytes;
    const chunk = Buffer.alloc(65_536, 'x');
    const more = () => {
      while (left > 0) {
        const part = chunk.subarray(0, Math.min(left, chunk.length));
        left -= part.length;
        if (!response.write(part)) {
          response.once('drain', more);
          return;
        }
      }
      response.end();
    };
    more();
  },
  '/sink': (request, response) => {
    const hash = createHash('sha256');
    let bytes = 0;
    request.on('data', (chunk) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    request.on('end', () =>
      answer(response, {
        bytes,
        sha256: hash.digest('hex'),
        trailers: request.trailers,
        framing: [request.headers['content-length'], request.headers['transfer-encoding']],
      }),
    );
  },
  '/hang': (_request, response) => {
    response.write('begin');
    response.on('close', () => {
      if (!response.writableFinished) seen.aborted += 1;
    });
  },
  '/broken': (_request, response) => {
    response.write('begin');
    setImmediate(() => response.socket.destroy());
  },
  '/events': (_request, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.flushHeaders();
  },
  '/early': (_request, response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload; as=style' });
    response.end('late');
  },
  '/hop': (_request, response) => {
    response.writeHead(200, [
      ...['Connection', 'X-Hop', 'X-Hop', 'secret', 'Keep-Alive', 'timeout=77'],
      ...['Proxy-Authenticate', 'Basic', 'X-Computesdk-Principal', 'forged', 'X-Kept', 'yes'],
      ...['Set-Cookie', 'a=1; Domain=localhost; Path=/', 'Set-Cookie', 'b=2; HttpOnly'],
      ...['Set-Cookie', '__Host-computesdk=evil; Path=/; Secure'],
      ...['Set-Cookie', '=__Host-computesdk-preview=evil; Path=/; Secure'],
      ...['Set-Cookie', ' __HOST-ComputeSDK-preview-framed =evil; Path=/; Secure'],
      ...['Clear-Site-Data', '"*"', 'Alt-Svc', 'h3=":1"'],
    ]);
    response.end('done');
  },
  '/redirect': (request, response) => {
    response.writeHead(302, { Location: `http://${request.headers.host}/page?x=1` });
    response.end();
  },
};

ROUTES['/redirect-to'] = (request, response) => {
  response.writeHead(307, { Location: decodeURIComponent(request.url.split('?')[1]) });
  response.end();
};

function record(request) {
  const { method, url, rawHeaders } = request;
  const entry = { method, url, rawHeaders };
  seen.requests.push(entry);
  return entry;
}

function answer(response, value) {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(value));
}

for (const port of ports) {
  const server = createServer((request, response) => {
    const route = ROUTES[request.url.split('?')[0]];
    if (route) route(request, response);
    else answer(response, record(request));
  });
  server.on('connection', (socket) => {
    seen.connections += 1;
    nextConnection += 1;
    socket.ordinal = nextConnection;
  });
  server.on('upgrade', (request, socket, head) => {
    record(request);
    socket.on('error', () => {});
    if (request.url.startsWith('/refused')) {
      socket.end('HTTP/1.1 426 No\r\nX-Why: because\r\nContent-Length: 2\r\n\r\nno');
      return;
    }
    const accept = createHash('sha1')
      .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
      .digest('base64');
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\nSet-Cookie: __Host-computesdk=evil; Path=/\r\n\r\n`,
    );
    if (head.length > 0) socket.write(head);
    if (request.url.startsWith('/half')) {
      // It has said all, and listens on.
      socket.end('done');
      socket.on('data', (chunk) => {
        seen.late += chunk;
      });
      return;
    }
    // After the handshake it repeats what it gets, and says so when the other side ends.
    socket.on('data', (chunk) => socket.write(chunk));
    socket.on('end', () => socket.end('bye'));
  });
  server.listen(Number(port), host, () => console.log(`listening on ${port}`));
}
