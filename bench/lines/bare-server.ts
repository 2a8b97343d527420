// Run as a process of its own: what anybody would write, a WebSocket in front of node-pty. Prints its
// port. The argument is the directory in which commands run.
import type { AddressInfo } from 'node:net';
import { spawn } from 'node-pty';
import { WebSocketServer } from 'ws';

/** Above this much that waits for a client, its program waits too, in bytes. */
const MAX_WAITING_BYTES = 1024 * 1024;

const [directory = ''] = process.argv.slice(2);
const server = new WebSocketServer({ host: '127.0.0.1', port: 0, perMessageDeflate: false });
server.on('connection', (socket, request) => {
  const url = new URL(request.url ?? '', 'ws://localhost');
  const command = url.searchParams.get('command') ?? '';
  const pty = spawn('/bin/sh', ['-c', command], { cwd: directory, encoding: null });
  const resume = () => {
    if (socket.bufferedAmount < MAX_WAITING_BYTES) pty.resume();
  };
  // Without an encoding it is bytes, whatever the type says.
  pty.onData((data: unknown) => {
    socket.send(data as Buffer, resume);
    if (socket.bufferedAmount >= MAX_WAITING_BYTES) pty.pause();
  });
  socket.on('message', (data) => pty.write(String(data)));
  socket.on('close', () => pty.kill('SIGKILL'));
  socket.on('error', () => {});
});
server.on('listening', () => {
  // A listening TCP server's address is an object.
  console.log((server.address() as AddressInfo).port);
});
