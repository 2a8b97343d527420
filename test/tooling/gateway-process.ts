import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { until } from '../support/until.ts';

/** A gateway in a process of its own, as somebody starts it who sets nothing but the port. */
export interface GatewayProcess extends AsyncDisposable {
  /** The address that it printed. */
  readonly url: string;
  /** The key that it made at its first start. */
  readonly apiKey: string;
}

/** Starts the gateway whose program is `main`, on a free port, with a data directory of its own. */
export async function startGateway(main: string): Promise<GatewayProcess> {
  const dataDirectory = mkdtempSync(join(tmpdir(), 'data-'));
  const { COMPUTESDK_API_KEY: _ours, ...inherited } = process.env;
  const env = { ...inherited, PORT: '0', COMPUTESDK_DATA_DIR: dataDirectory };
  const child = spawn(resolve('node_modules', '.bin', 'node'), [main], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  let log = '';
  child.stderr.on('data', (chunk: Buffer) => {
    log = (log + chunk.toString()).slice(-10_000);
  });
  const what = 'the gateway says that it is ready';
  const url = await until(
    () => {
      if (child.exitCode !== null) throw new Error(`the gateway ended:\n${output}${log}`);
      return /^computesdk gateway ready at (\S+)$/m.exec(output)?.[1];
    },
    { what, withinMs: 30_000 },
  );
  return {
    url,
    apiKey: readFileSync(join(dataDirectory, 'api-key'), 'utf8').trim(),
    [Symbol.asyncDispose]: () => stop(child),
  };
}

/** Ends the gateway as Ctrl-C does, which ends the agents too. */
async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGINT');
  await exited;
}
