import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';
import { join } from 'node:path';
import { repositoryRoot } from '../test/support/paths.ts';
import { sshVersion } from './lines/ssh-line.ts';

/** What the figures were measured on. */
export type Machine = Readonly<Record<string, string>>;

/** The machine and the versions of what matters. */
export function describeMachine(): Machine {
  const [cpu] = cpus();
  const version = (name: string): string => {
    const manifest = join(repositoryRoot, 'node_modules', name, 'package.json');
    return JSON.parse(readFileSync(manifest, 'utf8')).version;
  };
  return {
    time: new Date().toISOString(),
    commit: commit(),
    cpu: `${cpus().length} × ${cpu?.model ?? 'unknown'}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    system: `Linux ${release()} ${arch()}`,
    load: loadavg()[0]?.toFixed(2) ?? '',
    node: process.version,
    ssh: sshVersion(),
    ws: version('ws'),
    'node-pty': version('node-pty'),
  };
}

function commit(): string {
  try {
    const options = { cwd: repositoryRoot, encoding: 'utf8', stdio: 'pipe' } as const;
    return execFileSync('git', ['describe', '--always', '--dirty'], options).trim();
  } catch {
    return 'unknown';
  }
}
