import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, resolve } from 'node:path';

/** An empty app that has installed the packed tarball, and nothing else. */
export type PackedApp = {
  readonly directory: string;
  /** Writes a file into the app and returns its path. */
  write(path: string, text: string): string;
};

export type PackedAppOptions = {
  /** Arguments of `npm install`, besides the tarball. */
  readonly install: readonly string[];
};

/** Makes an app and installs the tarball, which is built and packed once a run. */
export function createPackedApp(options: PackedAppOptions): PackedApp {
  const directory = mkdtempSync(join(tmpdir(), 'app-'));
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), text);
    return join(directory, path);
  };
  write('package.json', JSON.stringify({ name: 'empty-app', private: true, type: 'module' }));
  const quiet = ['--no-audit', '--no-fund', '--prefer-offline', '--loglevel=error'];
  run('npm', ['install', ...quiet, ...options.install, packedTarball()], directory);
  return { directory, write };
}

/** Runs a command to its end and returns its standard output. Throws, with all output, if it fails. */
export function run(command: string, args: readonly string[], cwd: string): string {
  const bin = resolve('node_modules', '.bin');
  const env = { ...process.env, PATH: `${bin}${delimiter}${process.env['PATH'] ?? ''}` };
  const result = spawnSync(command, args, { cwd, env, encoding: 'utf8' });
  if (result.status === 0) return result.stdout;
  const { stdout, stderr } = result;
  throw new Error(`${command} ${args.join(' ')}: exit ${result.status}\n${stdout}\n${stderr}`);
}

/** The tarball as `npm pack` makes it, in the run's temporary directory. */
function packedTarball(): string {
  const tarball = join(tmpdir(), 'computesdk.tgz');
  if (existsSync(tarball)) return tarball;
  run('npm', ['run', '--silent', 'build'], resolve('.'));
  const target = mkdtempSync(join(tmpdir(), 'pack-'));
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', target];
  const name = run('npm', args, resolve('.')).trim();
  renameSync(join(target, name), tarball);
  return tarball;
}
