// Run as a process of its own: connects, starts a program that counts, and says what it sees, one
// JSON object a line. Arguments: the sandbox's address and a token.
import { Sandbox } from '../../client/index.ts';
import { TICKS } from './ticks.ts';

const [url = '', token = ''] = process.argv.slice(2);
const sandbox = await Sandbox.connect({ url, token });
sandbox.on('connection', ({ state }) => say({ state }));
const terminal = await sandbox.terminal.create({
  pty: false,
  shell: '/bin/sh',
  args: ['-c', TICKS],
});
let text = '';
terminal.on('gap', (gap) => say({ gap }));
terminal.on('error', ({ message }) => say({ error: message }));
terminal.on('output', (piece) => {
  text += piece;
  const lines = text.split('\n');
  text = lines.pop() ?? '';
  for (const line of lines) say({ tick: Number(line) });
});

function say(event: unknown): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}
