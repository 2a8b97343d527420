import type { OpenPort as OpenPortRecord } from '../gen/computesdk/v1/signal_pb.ts';
import { linkController, sleep, waitFor } from './connection/abort.ts';
import { ResumableStream } from './connection/resumable-stream.ts';
import { RETRY_LIMIT_MS } from './connection/retry.ts';
import type { Listener, Unsubscribe } from './emitter.ts';
import { type SandboxError, toSandboxError, unreachable } from './errors.ts';
import { addressOfPreview } from './preview-url.ts';
import type { SignalContext } from './signal-context.ts';
import type { PortSignal, SignalEvents, SignalGap } from './signal-events.ts';
import { type SignalPiece, SignalSource } from './signal-source.ts';
import { SignalTeller } from './signal-teller.ts';
import { TaskQueue } from './task-queue.ts';

/** How long the address of a preview is waited for before the plain one is told. */
export const PREVIEW_LIMIT_MS = 10_000;
/** Signals that wait for such addresses. Above it they are left out, which a gap tells. */
export const MAX_WAITING = 10_000;

/**
 * What goes on in a sandbox: ports that open and close, errors, and what its programs have to say.
 * Interruptions are bridged: what happened meanwhile is told afterwards.
 *
 * @example
 * const signals = await sandbox.signal.start();
 * signals.on('port', (event) => {
 *   if (event.type === 'open') iframe.src = event.url;
 * });
 * signals.on('error', (event) => showNotification('error', event.message));
 */
export class Signals {
  readonly #context: SignalContext;
  readonly #source: SignalSource;
  readonly #stream: ResumableStream<SignalPiece>;
  readonly #queue = new TaskQueue();
  readonly #teller: SignalTeller;
  readonly #stopped = new AbortController();
  /** Ends one reading, for another to follow from where it was. */
  #reading = new AbortController();
  /** Number of the first signal that was left out since too many wait. */
  #lostFrom: number | undefined;
  #onReady: () => void = () => {};

  /** @internal */
  constructor(context: SignalContext) {
    this.#context = context;
    this.#source = new SignalSource(context.client);
    this.#teller = new SignalTeller(this.#queue, context.connection.clock);
    this.#stream = new ResumableStream(
      context.connection,
      this.#source,
      {
        onReady: () => this.#onReady(),
        onData: (piece, { from }) => this.#onPiece(piece, from),
        onGap: (gap) => this.#onGap(gap),
        onEnd: () => {},
      },
      { cursor: undefined, incarnation: '', readerId: '' },
    );
  }

  /** Resolves when the sandbox looks for ports. @internal */
  async open(signal: AbortSignal | undefined): Promise<void> {
    const { clock } = this.#context.connection;
    const attempt = linkController(signal);
    const limit = unreachable(`the signals did not start within ${RETRY_LIMIT_MS} ms`);
    const timer = clock.setTimer(() => attempt.abort(limit), RETRY_LIMIT_MS);
    let isOpen = false;
    const opened = new Promise<void>((resolve, reject) => {
      this.#onReady = () => {
        isOpen = true;
        resolve();
      };
      void this.#read((error) => {
        if (isOpen) this.#onClosed(error);
        else reject(error);
      });
    });
    try {
      await waitFor(opened, attempt.signal);
    } catch (error) {
      this.stop();
      throw error;
    } finally {
      timer.clear();
      attempt.unlink();
    }
  }

  /**
   * Listens to an event. A listener of `port` or `signal` first gets an `open` for each port that is
   * open. What else happens before the first listener is there waits for it, up to 1,000 signals.
   *
   * @returns how to take the listener off again.
   *
   * @example
   * const stopListening = signals.on('port', ({ type, port, process }) => {
   *   console.log(`${process ?? 'a program'}: port ${port} ${type}`);
   * });
   */
  on<K extends keyof SignalEvents>(event: K, listener: Listener<SignalEvents, K>): Unsubscribe {
    return this.#teller.listen(event, listener, false);
  }

  /** Listens to one occurrence of an event; of `port` that may be a port that is open already. */
  once<K extends keyof SignalEvents>(event: K, listener: Listener<SignalEvents, K>): Unsubscribe {
    return this.#teller.listen(event, listener, true);
  }

  /** Takes a listener off. */
  off<K extends keyof SignalEvents>(event: K, listener: Listener<SignalEvents, K>): void {
    this.#teller.off(event, listener);
  }

  /** Stops listening to the sandbox. No listener is called any more. Idempotent, never throws. */
  stop(): void {
    this.#stopped.abort();
    this.#reading.abort();
    this.#queue.clear();
    this.#teller.stop();
  }

  async #read(onFailed: (error: SandboxError) => void): Promise<void> {
    try {
      while (!this.#stopped.signal.aborted) {
        this.#reading = new AbortController();
        await this.#stream.run(this.#reading.signal);
      }
    } catch (error) {
      onFailed(toSandboxError(error));
    }
  }

  #onClosed(error: SandboxError): void {
    // Whoever disconnects knows.
    if (error.code === 'closed') this.stop();
    else this.#queue.push(() => this.#teller.tellClosed(error));
  }

  #onGap({ from, to, reason }: SignalGap): void {
    if (this.#lostFrom === undefined)
      this.#queue.push(() => this.#teller.tellGap({ from, to, reason }));
  }

  #onPiece(piece: SignalPiece, number: number): void {
    if (this.#lostFrom !== undefined) return;
    if (this.#queue.length < MAX_WAITING) {
      this.#queue.push(() => this.#deliver(piece, number));
      return;
    }
    this.#lostFrom = number;
    this.#queue.push(() => this.#recover(number));
  }

  /** Everything before `from` was told, what followed was left out. Asks for the open ports again. */
  #recover(from: number): void {
    this.#lostFrom = undefined;
    this.#teller.tellGap({ from, to: this.#stream.position.cursor ?? from, reason: 'slow_reader' });
    this.#source.arePortsWanted = true;
    this.#reading.abort();
  }

  async #deliver(piece: SignalPiece, number: number): Promise<void> {
    switch (piece.kind) {
      case 'begun':
        return;
      case 'open':
        await this.#openPorts([piece.port]);
        return;
      case 'close':
        this.#closePort(piece.port.port);
        return;
      case 'ports': {
        const present = new Set(piece.ports.map(({ port }) => port));
        for (const port of [...this.#teller.open.keys()])
          if (!present.has(port)) this.#closePort(port);
        await this.#openPorts(piece.ports);
        return;
      }
      case 'error': {
        const { message, source } = piece;
        this.#teller.tell({ signal: 'error', message, source }, number);
        return;
      }
      case 'serverReady': {
        const { port, path } = piece;
        const url = await this.#urlOf(port);
        if (url !== undefined && !this.#stopped.signal.aborted)
          this.#teller.tell({ signal: 'serverReady', port, url: below(url, path) }, number);
        return;
      }
      case 'custom':
        this.#teller.tell({ signal: 'custom', name: piece.name, data: piece.data }, number);
        return;
    }
  }

  async #openPorts(records: readonly OpenPortRecord[]): Promise<void> {
    const fresh = records.filter(({ port }) => !this.#teller.open.has(port));
    const urls = await Promise.all(fresh.map(({ port }) => this.#urlOf(port)));
    if (this.#stopped.signal.aborted) return;
    for (const [index, record] of fresh.entries()) {
      const url = urls[index];
      if (url !== undefined) this.#teller.tellPort(toPortSignal(record, url));
    }
  }

  #closePort(port: number): void {
    const opened = this.#teller.open.get(port);
    if (opened) this.#teller.tellPort({ ...opened, type: 'close' });
  }

  /** Undefined for a number that is no port: what a sandbox says is not to be trusted. */
  async #urlOf(port: number): Promise<string | undefined> {
    const { previewUrl, url, connection } = this.#context;
    const late = linkController(this.#stopped.signal);
    try {
      const plain = addressOfPreview(url, port);
      const limit = sleep(connection.clock, PREVIEW_LIMIT_MS, late.signal).then(() => plain);
      return await Promise.race([previewUrl(port).catch(() => plain), limit]);
    } catch {
      return undefined;
    } finally {
      late.abort();
      late.unlink();
    }
  }
}

/** The record of a port as its `open` signal. */
function toPortSignal(record: OpenPortRecord, url: string): PortSignal {
  const { port, address, process, pid } = record;
  return {
    ...{ signal: 'port', type: 'open', port, url, address },
    process: process || undefined,
    pid: pid || undefined,
  };
}

/** The path below the address; never another host's, whatever a program says. */
function below(url: string, path: string): string {
  const base = new URL(url);
  if (!path.startsWith('/') || !URL.canParse(path, base)) return url;
  const target = new URL(path, base);
  if (target.origin !== base.origin) return url;
  // The ticket that opens the preview.
  for (const [name, value] of base.searchParams) target.searchParams.append(name, value);
  return target.href;
}
