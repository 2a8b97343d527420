import { Sandbox } from '../../client/index.ts';
import { HeldProgram, type Line } from './line.ts';

/** The product: SDK, gateway, and an agent in its box. */
export async function sdkLine(
  address: { readonly url: string; readonly token: string },
  transport: 'websocket' | 'http',
): Promise<Line> {
  const sandbox = await Sandbox.connect({ ...address, transport });
  return {
    name: transport === 'websocket' ? 'SDK, WebSocket' : 'SDK, HTTP',
    run: (command) => runIn(sandbox, command),
    close: () => sandbox.close(),
  };
}

/** Runs a command on a new terminal of a sandbox. */
export async function runIn(sandbox: Sandbox, command: string) {
  const terminal = await sandbox.terminal.create({ shell: '/bin/sh', args: ['-c', command] });
  const program = new HeldProgram({
    write: (data: string) => void terminal.write(data).catch(() => {}),
    close: () => terminal.destroy(),
  });
  terminal.on('data', (bytes) => program.onData(bytes));
  return program;
}
