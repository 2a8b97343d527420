// Run as a process of its own: connects, starts a program that counts, and says what it sees, one
// JSON object a line. Arguments: the sandbox's address, a token, and how calls travel.
import { Sandbox } from '../../client/index.ts';
import { TICKS } from './ticks.ts';
import { TRANSPORTS } from './transports.ts';

const [url = '', token = '', kind] = process.argv.slice(2);
const transport = TRANSPORTS.find((each) => each === kind);
const sandbox = await Sandbox.connect({ url, token, transport });
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
