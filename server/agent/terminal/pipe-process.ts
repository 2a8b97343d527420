import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Clock } from '../../core/clock.ts';
import { deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { ProcessExit, ProcessSink, ProcessSpec, TerminalProcess } from './terminal-process.ts';

/** Most output taken after the program's exit, as a process that it left behind could write for ever. */
const EXIT_DRAIN_BYTES = 256 * 1024;
/** Silence after which nothing more of an exited program comes, where others hold its pipes open. */
const EXIT_QUIET_MS = 100;

/**
 * Closes what the program must not inherit (the masters of pseudo terminals are inheritable), makes
 * standard error the same pipe as standard output, so that their order is kept, and becomes the
 * program. Bash closes every descriptor; another `sh` only knows those of one digit.
 */
const CLOSE_ALL =
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's, not ours
  'for f in /proc/self/fd/*; do n=${f##*/}; [ "$n" -gt 2 ] && eval "exec $n>&-"; done';
const CLOSE_FEW = 'exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-';
const BECOME = 'exec "$0" "$@" 2>&1';

/** Starts a program on pipes, in a session of its own. */
export function startOnPipes(spec: ProcessSpec, sink: ProcessSink, clock: Clock): TerminalProcess {
  return new PipeProcess(spec, sink, clock);
}

class PipeProcess implements TerminalProcess {
  readonly pid: number;
  readonly #sink: ProcessSink;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #clock: Clock;
  #pendingInputBytes = 0;
  #exit: ProcessExit | undefined;
  #drainedBytes = 0;
  #finished = false;

  constructor(spec: ProcessSpec, sink: ProcessSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
    this.#child = launch(spec);
    if (this.#child.pid === undefined) {
      // The cause arrives as an event that nobody waits for.
      this.#child.on('error', () => {});
      throw new DomainError('SPAWN_FAILED', 'shell: could not be started', { field: 'shell' });
    }
    this.pid = this.#child.pid;
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.on('data', (data: Buffer) => this.#onData(data));
      stream.on('error', () => {});
    }
    this.#child.stdin.on('error', () => {});
    this.#child.on('error', () => {});
    this.#child.on('exit', (exitCode, signal) => this.#onProcessExit(exitCode, signal));
    this.#child.on('close', () => this.#finish());
  }

  get pendingInputBytes(): number {
    return this.#pendingInputBytes;
  }

  pause(): void {
    if (this.#exit) return;
    this.#child.stdout.pause();
    this.#child.stderr.pause();
  }

  resume(): void {
    this.#child.stdout.resume();
    this.#child.stderr.resume();
  }

  write(data: Uint8Array): Promise<void> {
    const done = deferred<void>();
    this.#pendingInputBytes += data.length;
    this.#child.stdin.write(data, (error) => {
      this.#pendingInputBytes -= data.length;
      if (error) {
        done.reject(
          new DomainError('EXITED', 'the program no longer reads its input', { cause: error }),
        );
        return;
      }
      done.resolve();
      this.#sink.onInputRoom();
    });
    return done.promise;
  }

  resize(): void {}

  close(): void {
    this.#exit ??= { signal: '' };
    this.#finish();
  }

  #onData(data: Buffer): void {
    this.#sink.onOutput(data);
    if (!this.#exit) return;
    this.#drainedBytes += data.length;
    if (this.#drainedBytes >= EXIT_DRAIN_BYTES) this.#finish();
  }

  #onProcessExit(exitCode: number | null, signal: string | null): void {
    this.#exit ??= { ...(exitCode !== null && { exitCode }), signal: signal ?? '' };
    this.resume();
    this.#finishWhenQuiet();
  }

  #finishWhenQuiet(): void {
    const seen = this.#drainedBytes;
    this.#clock.setTimer(() => {
      // A loop that was held up runs its timers before it looks at what there is to read.
      setImmediate(() => {
        setImmediate(() =>
          seen === this.#drainedBytes ? this.#finish() : this.#finishWhenQuiet(),
        );
      });
    }, EXIT_QUIET_MS);
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    for (const stream of this.#child.stdio) stream?.destroy();
    this.#sink.onExit(this.#exit ?? { signal: '' });
  }
}

function launch(spec: ProcessSpec): ChildProcessWithoutNullStreams {
  // The pipes are sockets, and a top-level `bash -c` takes a socket for rsh and runs ~/.bashrc.
  const env: Record<string, string> = { SHLVL: '1', ...spec.env };
  const options = { cwd: spec.cwd, env, detached: true, stdio: 'pipe' } as const;
  const target = [spec.file, ...spec.args];
  if (existsSync('/bin/bash')) {
    // -p: what BASH_ENV names is run once, by the program, not here as well.
    return spawn(
      '/bin/bash',
      ['--norc', '-p', '-c', [CLOSE_ALL, ...promptsOf(env), BECOME].join('; '), ...target],
      options,
    );
  }
  return spawn('/bin/sh', ['-c', `${CLOSE_FEW}; ${BECOME}`, ...target], options);
}

/** A bash that is not interactive takes the prompts out of the environment; this puts them back. */
function promptsOf(env: Readonly<Record<string, string>>): string[] {
  return ['PS1', 'PS2'].flatMap((name) => {
    const value = env[name];
    return value === undefined ? [] : [`export ${name}='${value.replaceAll("'", "'\\''")}'`];
  });
}
