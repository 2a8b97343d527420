// Run as a process of its own: node-pty behind a Unix socket, and nothing else. Prints the socket's path.
// The argument is the directory in which commands run; each connection begins with a line that is its
// command in JSON. Ends with its standard input.
import { createServer } from 'node:net';
import { join } from 'node:path';
import { spawn } from 'node-pty';

const [directory = ''] = process.argv.slice(2);
const path = join(directory, `pty-${process.pid}.sock`);
const server = createServer((socket) => {
  socket.on('error', () => {});
  socket.once('data', (line) => {
    const command: string = JSON.parse(line.toString());
    const pty = spawn('/bin/sh', ['-c', command], { cwd: directory, encoding: null });
    // Without an encoding it is bytes, whatever the type says.
    pty.onData((data: unknown) => {
      if (!socket.write(data as Buffer)) pty.pause();
    });
    socket.on('drain', () => pty.resume());
    socket.on('data', (data) => pty.write(data.toString()));
    socket.on('close', () => pty.kill('SIGKILL'));
  });
});
server.listen(path, () => console.log(path));
process.stdin.resume().on('end', () => process.exit());
