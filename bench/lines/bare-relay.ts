// Run as a process of its own: what stands between a client and a pseudo terminal in another process, at
// least. It passes on what comes over WebSockets to that process, byte by byte, over a Unix socket as the
// gateway does, and prints its port. The argument is the directory in which commands run.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { createWebSocketStream, WebSocketServer } from 'ws';

const [directory = ''] = process.argv.slice(2);
const other = spawn(process.execPath, [join(import.meta.dirname, 'bare-pty.ts'), directory], {
  // It ends when its input does, which is with this process.
  stdio: ['pipe', 'pipe', 'inherit'],
});
const [path] = await once(createInterface(other.stdout), 'line');
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('connection', (socket, request) => {
  const url = new URL(request.url ?? '', 'ws://localhost');
  const client = createWebSocketStream(socket);
  const program = connect(String(path));
  program.write(`${JSON.stringify(url.searchParams.get('command'))}\n`);
  client.pipe(program).pipe(client);
  for (const stream of [client, program]) stream.on('error', () => {});
  client.on('close', () => program.destroy());
});
server.on('listening', () => {
  // A listening TCP server's address is an object.
  console.log((server.address() as AddressInfo).port);
});
