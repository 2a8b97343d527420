import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Terminal } from '../../client/index.ts';
import { until } from './until.ts';

/** When a port of a {@link PortProgram} opened or closed, by the clock that `Date.now` shows. */
export type PortMoment = {
  readonly port: number;
  readonly what: 'open' | 'close';
  readonly at: number;
};

/** What a port is to do. Times in milliseconds. */
export type PortPlan = {
  readonly port: number;
  /** From now until it opens. */
  readonly openAfterMs: number;
  /** From then until it closes. */
  readonly closeAfterMs: number;
  /** Whether the program prints a line when it listens, as dev servers do. */
  readonly prints: boolean;
  readonly host?: string;
};

const LOG_FILE = 'port-program.log';
/** Obeys one plan a line, and notes what it did in a file, which no terminal shows. */
const SOURCE = `
const { appendFileSync, writeFileSync } = require('node:fs');
const { createServer } = require('node:net');
const { createInterface } = require('node:readline');
const note = (port, what) =>
  appendFileSync('${LOG_FILE}', JSON.stringify({ port, what, at: Date.now() }) + '\\n');
createInterface({ input: process.stdin }).on('line', (line) => {
  const { port, openAfterMs, closeAfterMs, prints, host } = JSON.parse(line);
  setTimeout(() => {
    const server = createServer().listen(port, host ?? '127.0.0.1', () => {
      note(port, 'open');
      if (prints) console.log('listening on ' + port);
      setTimeout(() => server.close(() => note(port, 'close')), closeAfterMs);
    });
  }, openAfterMs);
});
writeFileSync('${LOG_FILE}', '');
console.log('port program on');
`;

/** A program in a sandbox that opens and closes ports as it is told. */
export class PortProgram {
  readonly #terminal: Terminal;
  readonly #logFile: string;
  readonly #moments: PortMoment[] = [];

  private constructor(terminal: Terminal, logFile: string) {
    this.#terminal = terminal;
    this.#logFile = logFile;
  }

  /** `projectDirectory` is the sandbox's `/project` on the host. */
  static async start(
    sandbox: { readonly terminal: { create(options: object): Promise<Terminal> } },
    projectDirectory: string,
  ): Promise<PortProgram> {
    const terminal = await sandbox.terminal.create({
      ...{ pty: false, shell: 'node', args: ['-e', SOURCE] },
    });
    let shown = '';
    terminal.on('output', (text) => {
      shown += text;
    });
    await until(() => shown.includes('port program on'), { what: 'the program with the ports' });
    return new PortProgram(terminal, join(projectDirectory, LOG_FILE));
  }

  /** Types the plan. */
  async plan(plan: PortPlan): Promise<void> {
    await this.#terminal.write(`${JSON.stringify(plan)}\n`);
  }

  /** What it did so far. */
  moments(): readonly PortMoment[] {
    const lines = readFileSync(this.#logFile, 'utf8').split('\n').slice(0, -1);
    for (const line of lines.slice(this.#moments.length)) this.#moments.push(JSON.parse(line));
    return this.#moments;
  }
}
