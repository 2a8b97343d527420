import { startPty } from '../../../../server/agent/terminal/node-pty.ts';
import { startOnPipes } from '../../../../server/agent/terminal/pipe-process.ts';
import type {
  ProcessExit,
  TerminalProcess,
} from '../../../../server/agent/terminal/terminal-process.ts';
import { systemClock } from '../../../../server/core/clock.ts';
import { until } from '../../../support/until.ts';

/** A real program, and everything that it did. */
export type RealProcess = {
  readonly program: TerminalProcess;
  /** All its output so far. */
  output(): Buffer;
  readonly exited: Promise<ProcessExit>;
  /** Waits for a text in the output. */
  seen(text: string): Promise<void>;
  type(text: string): Promise<void>;
};

const ENVIRONMENT = { PATH: '/usr/local/bin:/usr/bin:/bin', LANG: 'C.UTF-8', PS1: '' };

/** Runs a script of bash, or an interactive one without a script. */
export function startBash(
  kind: 'pty' | 'pipes',
  script?: string,
  env: Readonly<Record<string, string>> = {},
): RealProcess {
  const chunks: Buffer[] = [];
  let onExit: (exit: ProcessExit) => void = () => {};
  const exited = new Promise<ProcessExit>((resolve) => {
    onExit = resolve;
  });
  const sink = {
    onOutput: (data: Uint8Array) => chunks.push(Buffer.from(data)),
    onInputRoom: () => {},
    onExit: (exit: ProcessExit) => onExit(exit),
  };
  const args = script === undefined ? ['--norc', '--noprofile'] : ['--norc', '-c', script];
  const spec = { file: '/bin/bash', args, cwd: '/', env: { ...ENVIRONMENT, ...env } };
  const program =
    kind === 'pty'
      ? startPty({ ...spec, size: { cols: 80, rows: 24 } }, sink, systemClock)
      : startOnPipes(spec, sink, systemClock);
  const output = () => Buffer.concat(chunks);
  return {
    program,
    output,
    exited,
    seen: async (text) => {
      await until(() => output().includes(text), { what: `output ${JSON.stringify(text)}` });
    },
    type: async (text) => program.write(Buffer.from(text)),
  };
}
