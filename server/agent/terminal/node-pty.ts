import { closeSync, openSync, writeSync } from 'node:fs';
import { ReadStream } from 'node:tty';
import { loadNativeModule } from 'node-pty/lib/utils.js';
import type { Clock, Timer } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import { InputQueue } from './input-queue.ts';
import { signalName } from './signals.ts';
import type {
  ProcessExit,
  ProcessSink,
  ProcessSpec,
  TerminalProcess,
  TerminalSize,
} from './terminal-process.ts';

/**
 * Most output taken after the program's exit. The kernel holds less than that, so all the program
 * wrote is in it; a process that the program left behind could go on for ever.
 */
const EXIT_DRAIN_BYTES = 256 * 1024;
/** Silence after which nothing more of an exited program comes, where others hold its terminal open. */
const EXIT_QUIET_MS = 100;
/** For uid and gid. */
const NO_CHANGE = -1;
/** Only macOS has one, and without /proc the agent does not run there. */
const NO_HELPER = '';

/**
 * Below node-pty's JavaScript, which loses the rest of the output when it is paused at the exit,
 * queues input without bound, spins on a program that does not read, and cannot set IUTF8 and hand
 * out bytes at once.
 */
const native = loadNativeModule('pty');
/**
 * What every terminal is read into. Output is copied out before the next read, and a buffer for
 * each read would be garbage of sixteen times the output's size: a read gives about 4 KiB.
 */
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);
/** Masters that are open. They are inheritable; see {@link withoutDescriptorHoles}. */
const openMasters = new Set<number>();

/** Starts a program on a pseudo terminal of the given size. Throws SPAWN_FAILED. */
export function startPty(
  spec: ProcessSpec & { readonly size: TerminalSize },
  sink: ProcessSink,
  clock: Clock,
): TerminalProcess {
  return new PtyProcess(spec, sink, clock);
}

class PtyProcess implements TerminalProcess {
  readonly pid: number;
  readonly #sink: ProcessSink;
  readonly #clock: Clock;
  readonly #fd: number;
  readonly #socket: ReadStream;
  readonly #input: InputQueue;
  /** Known once the program has exited; `onExit` follows when its output was read. */
  #exit: ProcessExit | undefined;
  #drainedBytes = 0;
  #quietTimer: Timer | undefined;
  #finished = false;

  constructor(
    spec: ProcessSpec & { readonly size: TerminalSize },
    sink: ProcessSink,
    clock: Clock,
  ) {
    this.#sink = sink;
    this.#clock = clock;
    const forked = fork(spec, (exitCode, signal) => this.#onProcessExit(exitCode, signal));
    this.pid = forked.pid;
    this.#fd = forked.fd;
    openMasters.add(forked.fd);
    this.#input = new InputQueue({
      clock,
      attempt: (data) => this.#writeSome(data),
      onRoom: () => sink.onInputRoom(),
    });
    this.#socket = new ReadStream(forked.fd, {
      onread: {
        buffer: readBuffer,
        callback: (bytes) => this.#onData(readBuffer.subarray(0, bytes)),
      },
    });
    // EIO: nobody holds the other side any more. It is how a terminal ends.
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#onClosed());
    this.resume();
  }

  get pendingInputBytes(): number {
    return this.#input.bytes;
  }

  pause(): void {
    if (!this.#exit) this.#socket.pause();
  }

  resume(): void {
    // Not `resume`, which takes effect later, even after another `pause`.
    this.#socket.read(0);
  }

  write(data: Uint8Array): Promise<void> | undefined {
    return this.#input.write(data);
  }

  resize(size: TerminalSize): void {
    if (!this.#socket.destroyed) native.module.resize(this.#fd, size.cols, size.rows, 0, 0);
  }

  close(): void {
    this.#exit ??= { signal: '' };
    this.#finish();
  }

  #writeSome(data: Uint8Array): number {
    // Checked at every write: a closed descriptor's number may be another file's by now.
    if (this.#socket.destroyed) throw new DomainError('EXITED', 'the terminal is closed');
    try {
      return writeSync(this.#fd, data);
    } catch (error) {
      if (isWouldBlock(error)) return 0;
      throw error;
    }
  }

  /** Returns whether to read on. */
  #onData(data: Uint8Array): boolean {
    if (this.#finished) return false;
    this.#sink.onOutput(data);
    if (!this.#exit) return true;
    this.#drainedBytes += data.length;
    if (this.#drainedBytes >= EXIT_DRAIN_BYTES) this.#finish();
    else this.#finishWhenQuiet();
    return true;
  }

  #onProcessExit(exitCode: number, signal: number): void {
    this.#exit ??= signal === 0 ? { exitCode, signal: '' } : { signal: signalName(signal) };
    this.#input.close();
    if (this.#socket.closed) {
      this.#finish();
      return;
    }
    // Whatever the readers' pace: what is not read now is gone with the terminal.
    this.resume();
    this.#finishWhenQuiet();
  }

  #finishWhenQuiet(): void {
    this.#quietTimer?.clear();
    this.#quietTimer = this.#clock.setTimer(() => {
      const seen = this.#drainedBytes;
      // A loop that was held up runs its timers before it looks at what there is to read.
      setImmediate(() => setImmediate(() => seen === this.#drainedBytes && this.#finish()));
    }, EXIT_QUIET_MS);
  }

  #onClosed(): void {
    openMasters.delete(this.#fd);
    this.#input.close();
    if (this.#exit) this.#finish();
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#quietTimer?.clear();
    this.#input.close();
    this.#socket.destroy();
    this.#sink.onExit(this.#exit ?? { signal: '' });
  }
}

function fork(
  spec: ProcessSpec & { readonly size: TerminalSize },
  onExit: (exitCode: number, signal: number) => void,
): { fd: number; pid: number } {
  const env = Object.entries(spec.env).map(([name, value]) => `${name}=${value}`);
  const { cols, rows } = spec.size;
  try {
    return withoutDescriptorHoles(() =>
      native.module.fork(
        spec.file,
        [...spec.args],
        env,
        spec.cwd,
        cols,
        rows,
        NO_CHANGE,
        NO_CHANGE,
        true,
        NO_HELPER,
        onExit,
      ),
    );
  } catch (cause) {
    throw new DomainError('SPAWN_FAILED', 'no pseudo terminal could be opened', { cause });
  }
}

/**
 * The child of a fork closes what it inherited from descriptor 3 on, but stops at the first
 * number above 15 that is not open. Were there one below another terminal's master, a program could
 * type into that terminal. So the free numbers below the highest master are taken meanwhile.
 */
function withoutDescriptorHoles<T>(task: () => T): T {
  const highest = Math.max(-1, ...openMasters);
  const fillers: number[] = [];
  try {
    while (highest >= 0 && (fillers.at(-1) ?? -1) < highest)
      fillers.push(openSync('/dev/null', 'r'));
    return task();
  } finally {
    for (const filler of fillers) closeSync(filler);
  }
}

function isWouldBlock(error: unknown): boolean {
  return (
    error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EINTR')
  );
}
