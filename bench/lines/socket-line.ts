import { join } from 'node:path';
import { WebSocket } from 'ws';
import { startScript } from '../support/script.ts';
import { HeldProgram, type Line } from './line.ts';

/** A WebSocket in front of node-pty, in a process of its own, without any of what the product does. */
export async function socketLine(
  directory: string,
): Promise<Line & { readonly url: (command: string) => string }> {
  const server = await startScript(join(import.meta.dirname, 'bare-server.ts'), [directory]);
  const url = (command: string) =>
    `ws://127.0.0.1:${server.said}/?command=${encodeURIComponent(command)}`;
  return {
    name: 'WebSocket + pty',
    url,
    run: async (command) => {
      const socket = new WebSocket(url(command), { perMessageDeflate: false });
      const program = new HeldProgram({
        write: (data: string) => socket.send(data),
        close: async () => socket.terminate(),
      });
      // `ws` gives Buffers unless it is asked for something else.
      socket.on('message', (data) => program.onData(data as Buffer));
      await new Promise((resolve, reject) => socket.on('open', resolve).on('error', reject));
      return program;
    },
    close: () => server.close(),
  };
}
