import { join } from 'node:path';
import { WebSocket } from 'ws';
import { startScript } from '../support/script.ts';
import { HeldProgram, type Line } from './line.ts';

export type SocketLine = Line & {
  readonly url: (command: string) => string;
  /** The process that takes the WebSockets. */
  readonly pid: number;
};

/** A WebSocket in front of node-pty, in a process of its own, without any of what the product does. */
export function socketLine(directory: string): Promise<SocketLine> {
  return lineTo('bare-server.ts', 'WebSocket + pty', directory);
}

/** The same with a process between them, as the product has one: the least that it can cost. */
export function relayLine(directory: string): Promise<SocketLine> {
  return lineTo('bare-relay.ts', 'WebSocket + relay + pty', directory);
}

async function lineTo(script: string, name: string, directory: string): Promise<SocketLine> {
  const server = await startScript(join(import.meta.dirname, script), [directory]);
  const url = (command: string) =>
    `ws://127.0.0.1:${server.said}/?command=${encodeURIComponent(command)}`;
  return {
    name,
    url,
    pid: server.pid,
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
