import {
  type Terminal as TerminalRecord,
  TerminalStatus as WireTerminalStatus,
} from '../gen/computesdk/v1/terminal_pb.ts';
import { InputQueue } from './connection/input-queue.ts';
import { Latest } from './connection/latest.ts';
import { Emitter, type Listener, type Unsubscribe } from './emitter.ts';
import { endsTerminal, SandboxError, type SandboxErrorCode } from './errors.ts';
import type { SignalOption } from './signal-option.ts';
import type { TerminalContext } from './terminal-context.ts';
import type {
  TerminalDataInfo,
  TerminalEvents,
  TerminalExit,
  TerminalSize,
} from './terminal-events.ts';
import { terminalInput } from './terminal-input.ts';
import { TerminalReader } from './terminal-reader.ts';
import { StreamingTextDecoder } from './text-decoder.ts';
import { toUint32 } from './values.ts';

/** Whether a terminal's program runs. `lost`: the process that held the terminal died. */
export type TerminalStatus = 'running' | 'exited' | 'lost';

/** What a terminal is made from. @internal */
export type TerminalParts = {
  readonly record: TerminalRecord;
  /** Issued by the terminal's creation; absent for a terminal that was found. */
  readonly created?: { readonly readerId: string; readonly writerId: string };
};

/** What a stream is told of a terminal that was destroyed while it was cut. */
const GONE: ReadonlySet<string> = new Set(['destroyed', 'not_found']);

/**
 * A shell in a sandbox, on a pseudo terminal or on pipes. It belongs to the sandbox: connections
 * come and go, the program runs on, and nothing is lost or typed twice in between.
 *
 * Reading starts with the first listener, from the program's first byte on, for as long as the
 * server holds it (1 MiB).
 *
 * @example
 * const terminal = await sandbox.terminal.create({ pty: true });
 * terminal.on('output', (data) => console.log(data));
 * terminal.on('exit', ({ exitCode, signal }) => console.log('ended', exitCode ?? signal));
 * terminal.write('ls -la\n');
 */
export class Terminal {
  /** Names the terminal. */
  readonly id: string;
  /** A label for people. Empty if none was given. */
  readonly name: string;
  readonly #context: TerminalContext;
  readonly #emitter = new Emitter<TerminalEvents>();
  readonly #reader: TerminalReader;
  readonly #input: InputQueue;
  readonly #resizes: Latest<TerminalSize>;
  readonly #decoder = new StreamingTextDecoder();
  #size: TerminalSize;
  #status: TerminalStatus;
  #exit: TerminalExit | undefined;
  /** Whether the exit was read, after all output, and so may be told. */
  #isExitTold = false;
  /** Why the terminal is over for this client, told once. */
  #isDestroying = false;
  #finalCode: SandboxErrorCode | undefined;

  /** @internal */
  constructor(context: TerminalContext, { record, created }: TerminalParts) {
    this.id = record.id;
    this.name = record.name;
    this.#context = context;
    this.#size = { cols: record.cols, rows: record.rows };
    this.#status = record.status === WireTerminalStatus.EXITED ? 'exited' : 'running';
    if (this.#status === 'exited') {
      this.#exit = { exitCode: record.exitCode, signal: record.signal || undefined };
    }
    this.#input = new InputQueue({
      sink: terminalInput(context, record),
      onError: (error) => this.#onInputError(error),
      ...(created && { writerId: created.writerId }),
    });
    this.#reader = this.#newReader(record, created?.readerId);
    this.#resizes = new Latest((size) => this.#sendSize(size));
  }

  /** Width in columns. 0 without a pseudo terminal. */
  get cols(): number {
    return this.#size.cols;
  }

  /** Height in rows. 0 without a pseudo terminal. */
  get rows(): number {
    return this.#size.rows;
  }

  /** Whether the program runs, as far as is known. */
  get status(): TerminalStatus {
    return this.#status;
  }

  /** The exit code. Undefined while the program runs, when a signal ended it, and when unknown. */
  get exitCode(): number | undefined {
    return this.#exit?.exitCode;
  }

  /** The signal that ended the program, for example `SIGKILL`. Undefined if none did. */
  get signal(): string | undefined {
    return this.#exit?.signal;
  }

  /**
   * Listens to an event. The first listener attaches the terminal; listeners that are registered
   * together all get the first byte. Output that nobody listened to so far is delivered first.
   *
   * `error` tells what nobody awaits: `lost`, `outcome_unknown` or `queue_full` input,
   * `access_ended`. Without a listener nothing happens.
   *
   * @returns how to take the listener off again.
   */
  on<K extends keyof TerminalEvents>(event: K, listener: Listener<TerminalEvents, K>): Unsubscribe {
    return this.#listen(event, listener, false);
  }

  /** Listens to one occurrence of an event. */
  once<K extends keyof TerminalEvents>(
    event: K,
    listener: Listener<TerminalEvents, K>,
  ): Unsubscribe {
    return this.#listen(event, listener, true);
  }

  /** Takes a listener off. */
  off<K extends keyof TerminalEvents>(event: K, listener: Listener<TerminalEvents, K>): void {
    this.#emitter.off(event, listener);
  }

  /**
   * Types into the terminal. Writes are applied once and in order, across interruptions of any
   * length. Up to 1 MiB waits in this process; beyond, the write is refused at once.
   *
   * The promise resolves when the input was applied. It may be ignored: then a failure is told by
   * the `error` event alone. A signal takes back input that was not sent yet.
   *
   * @throws SandboxError `queue_full`, `too_large` (more than 1 MiB in one write), `exited`,
   * `lost`, `outcome_unknown`, `permission_denied`, `access_ended`, `canceled`.
   */
  write(data: string | Uint8Array, options: SignalOption = {}): Promise<void> {
    // A copy of bytes: the caller may reuse its buffer while the input waits.
    const bytes = typeof data === 'string' ? new TextEncoder().encode(data) : data.slice();
    return this.#input.write(bytes, options.signal);
  }

  /**
   * Changes the size, each side 1 to 4,096. Of many changes in a moment only the last is sent.
   * The promise may be ignored, like that of {@link Terminal.write}.
   *
   * @throws SandboxError `invalid_argument`, `failed_precondition` (no pseudo terminal), `exited`.
   */
  resize(cols: number, rows: number): Promise<void> {
    return this.#resizes.submit({ cols, rows });
  }

  /**
   * Sends a signal to the foreground program. If the network fails meanwhile, it may arrive twice.
   *
   * @param signal SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGKILL, SIGUSR1, SIGUSR2, SIGSTOP, SIGTSTP,
   * SIGCONT or SIGWINCH. An interactive shell ignores SIGTERM; `destroy()` ends it.
   */
  async kill(signal = 'SIGTERM', options: SignalOption = {}): Promise<void> {
    const { client, connection } = this.#context;
    const request = { terminalId: this.id, signal };
    await connection.call(
      (attempt) => client.signalTerminal(request, { signal: attempt }),
      options,
    );
  }

  /** Ends every process of the terminal and forgets it. Listeners get `exit`. Idempotent. */
  async destroy(options: SignalOption = {}): Promise<void> {
    const { client, connection } = this.#context;
    const destroy = (signal: AbortSignal) =>
      client.destroyTerminal({ terminalId: this.id }, { signal });
    this.#isDestroying = true;
    await connection.call(destroy, options).catch((error: unknown) => {
      this.#isDestroying = false;
      throw error;
    });
  }

  /**
   * Stops reading and tells the server not to wait for this reader. The program runs on. A listener
   * that is registered later attaches again, where reading stopped.
   */
  async detach(options: SignalOption = {}): Promise<void> {
    this.#context.attached.delete(this);
    await this.#reader.detach(options.signal);
  }

  #listen<K extends keyof TerminalEvents>(
    event: K,
    listener: Listener<TerminalEvents, K>,
    once: boolean,
  ): Unsubscribe {
    const unsubscribe = this.#emitter.on(event, listener, once);
    if (event === 'exit' && this.#isExitTold) {
      queueMicrotask(() => this.#tellExitTo(listener as Listener<TerminalEvents, 'exit'>));
    } else {
      this.#context.attached.add(this);
      this.#reader.start();
    }
    return unsubscribe;
  }

  #tellExitTo(listener: Listener<TerminalEvents, 'exit'>): void {
    if (this.#exit) this.#emitter.emitTo('exit', listener, this.#exit);
  }

  #newReader(record: TerminalRecord, readerId: string | undefined): TerminalReader {
    const { client, connection } = this.#context;
    const isCreator = readerId !== undefined;
    const cursor = isCreator ? 0 : undefined;
    return new TerminalReader({
      connection,
      client,
      terminalId: record.id,
      writer: this.#input,
      isCreator,
      position: { cursor, incarnation: record.incarnation, readerId: readerId ?? '' },
      hooks: {
        wantsData: () => this.#emitter.hasListeners('output') || this.#emitter.hasListeners('data'),
        onData: (data, info) => this.#onData(data, info),
        onGap: (gap) => {
          this.#emitText(this.#decoder.flush());
          this.#emitter.emit('gap', gap);
        },
        onResized: (size) => this.#onResized(size),
        onExited: (exit) => this.#onExited(exit),
        onFailed: (error) => this.#onReadFailed(error),
      },
    });
  }

  #onData(data: Uint8Array, info: TerminalDataInfo): void {
    this.#emitter.emit('data', data, info);
    if (!this.#emitter.hasListeners('output')) return;
    this.#emitText(this.#decoder.push(data));
  }

  #emitText(text: string): void {
    if (text !== '') this.#emitter.emit('output', text);
  }

  #onResized(size: TerminalSize): void {
    if (size.cols === this.#size.cols && size.rows === this.#size.rows) return;
    this.#size = size;
    this.#emitter.emit('resize', size);
  }

  #onExited(exit: TerminalExit): void {
    this.#emitText(this.#decoder.flush());
    this.#status = 'exited';
    this.#exit = exit;
    this.#context.attached.delete(this);
    this.#input.refuse(new SandboxError('exited', 'the program of the terminal has exited'));
    if (this.#isExitTold) return;
    this.#isExitTold = true;
    this.#emitter.emit('exit', exit);
  }

  #onReadFailed(error: SandboxError): void {
    this.#context.attached.delete(this);
    this.#onFailed(error);
  }

  #onInputError(error: SandboxError): void {
    // The exit itself is told by its own event, after the last output.
    if (error.code !== 'exited') this.#onFailed(error);
  }

  #onFailed(error: SandboxError): void {
    if (error.code === 'lost') this.#status = 'lost';
    if (endsTerminal(error)) {
      this.#input.end(error);
      // Reader and writer both learn of the end; it is told once, and not to who caused it.
      if (this.#finalCode === error.code || error.code === 'closed') return;
      if (this.#isDestroying && GONE.has(error.code)) return;
      this.#finalCode = error.code;
    }
    this.#emitter.emit('error', error);
  }

  async #sendSize({ cols, rows }: TerminalSize): Promise<void> {
    const { client, connection } = this.#context;
    const size = { cols: toUint32('cols', cols), rows: toUint32('rows', rows) };
    const request = { terminalId: this.id, ...size };
    await connection.call((attempt) => client.resizeTerminal(request, { signal: attempt }));
    this.#onResized(size);
  }
}
