import type { Client } from '@connectrpc/connect';
import type { TerminalService } from '../gen/computesdk/v1/terminal_service_pb.ts';
import { Acknowledger } from './acknowledger.ts';
import type { Timer } from './connection/clock.ts';
import type { Connection } from './connection/connection.ts';
import { ResumableStream, type StreamPosition } from './connection/resumable-stream.ts';
import { type SandboxError, toSandboxError } from './errors.ts';
import { HeldOutput } from './held-output.ts';
import type {
  TerminalDataInfo,
  TerminalExit,
  TerminalGap,
  TerminalSize,
} from './terminal-events.ts';
import { type TerminalPiece, terminalSource, type WriterHolder } from './terminal-source.ts';

/** Who takes what is read. None of these may throw. */
export interface TerminalReaderHooks {
  /** Whether anybody takes output at the moment. */
  wantsData(): boolean;
  onData(data: Uint8Array, info: TerminalDataInfo): void;
  onGap(gap: TerminalGap): void;
  onResized(size: TerminalSize): void;
  onExited(exit: TerminalExit): void;
  /** Reading ended for good, before the program did. */
  onFailed(error: SandboxError): void;
}

/** What a reader is made of. */
export type TerminalReaderParts = {
  readonly connection: Connection;
  readonly client: Client<typeof TerminalService>;
  readonly terminalId: string;
  readonly writer: WriterHolder;
  readonly position: StreamPosition;
  /** Whether this client made the terminal: then nobody saw its first output before. */
  readonly isCreator: boolean;
  readonly hooks: TerminalReaderHooks;
};

/**
 * The reading half of a terminal. It attaches when somebody listens, and never keeps output for
 * somebody who does not: what passed unheard is read again from the server when it is wanted.
 */
export class TerminalReader {
  readonly #parts: TerminalReaderParts;
  readonly #stream: ResumableStream<TerminalPiece>;
  readonly #acknowledger: Acknowledger;
  readonly #held = new HeldOutput((cursor) => this.#onFinished(cursor));
  /** Position of the first byte that passed while nobody took output. */
  #missedFrom: number | undefined;
  #readies = 0;
  /** Whether the program's end was read. */
  #isOver = false;
  #startTimer: Timer | undefined;
  #reading: { readonly stop: AbortController; readonly ended: Promise<void> } | undefined;

  constructor(parts: TerminalReaderParts) {
    this.#parts = parts;
    const { client, connection, terminalId } = parts;
    this.#stream = new ResumableStream(
      connection,
      terminalSource(client, terminalId, parts.writer),
      {
        onReady: () => {
          this.#readies += 1;
        },
        onData: (piece, info) => this.#onPiece(piece, info),
        onGap: (gap) => parts.hooks.onGap(gap),
        onEnd: (piece) => this.#onPiece(piece, { replay: false, from: 0 }),
      },
      parts.position,
    );
    this.#acknowledger = new Acknowledger(connection.clock, (cursor) => this.#acknowledge(cursor));
  }

  /**
   * Attaches in the next macrotask, so that listeners which are registered together all get the
   * first byte. Does nothing while attached, unless bytes that passed unheard are wanted now.
   */
  start(): void {
    if ((this.#reading || this.#isOver) && this.#missedFrom === undefined) return;
    this.#startTimer ??= this.#parts.connection.clock.setTimer(() => void this.#restart(), 0);
  }

  /** Stops reading and gives the reader's lease up. Starting again goes on where it was. */
  async detach(signal?: AbortSignal): Promise<void> {
    await this.#stop();
    const { client, connection, terminalId } = this.#parts;
    const { readerId } = this.#stream.position;
    if (readerId === '') return;
    await connection.call(
      (attempt) => client.detachTerminal({ terminalId, readerId }, { signal: attempt }),
      {
        signal,
      },
    );
  }

  async #stop(): Promise<void> {
    this.#startTimer?.clear();
    this.#startTimer = undefined;
    this.#acknowledger.stop();
    this.#reading?.stop.abort();
    await this.#reading?.ended;
  }

  async #restart(): Promise<void> {
    this.#startTimer = undefined;
    if (this.#reading) {
      if (this.#missedFrom === undefined) return;
      // Reading goes on behind the bytes that are wanted now.
      this.#reading.stop.abort();
      await this.#reading.ended;
    }
    if (this.#reading) return;
    if (this.#missedFrom !== undefined && this.#parts.hooks.wantsData()) {
      this.#stream.rewind(this.#missedFrom);
      this.#missedFrom = undefined;
    }
    const stop = new AbortController();
    this.#reading = { stop, ended: this.#read(stop.signal) };
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      await this.#stream.run(signal);
    } catch (error) {
      this.#parts.hooks.onFailed(toSandboxError(error));
    } finally {
      this.#acknowledger.stop();
      this.#reading = undefined;
    }
  }

  #onPiece(piece: TerminalPiece, info: { replay: boolean; from: number }): void {
    const { hooks } = this.#parts;
    switch (piece.kind) {
      case 'output':
        this.#onOutput(piece.data, info);
        return;
      case 'resized':
        hooks.onResized({ cols: piece.cols, rows: piece.rows });
        return;
      case 'exited':
        this.#isOver = true;
        hooks.onExited({ exitCode: piece.exitCode, signal: piece.signal });
        return;
    }
  }

  #onOutput(data: Uint8Array, { replay, from }: { replay: boolean; from: number }): void {
    const { hooks, isCreator } = this.#parts;
    this.#held.deliver(from + data.byteLength, ({ hold }) => {
      if (this.#missedFrom === undefined && hooks.wantsData()) {
        // The creator's first attach is a replay to nobody: it may answer what the program asks.
        hooks.onData(data, { replay: replay && !(isCreator && this.#readies === 1), hold });
      } else {
        this.#missedFrom ??= from;
      }
    });
  }

  #onFinished(cursor: number): void {
    // The next attach tells its position by itself.
    if (this.#reading) this.#acknowledger.processed(cursor);
  }

  async #acknowledge(cursor: number): Promise<void> {
    const signal = this.#reading?.stop.signal;
    const { client, connection, terminalId } = this.#parts;
    const { readerId } = this.#stream.position;
    if (!signal || readerId === '') return;
    const request = { terminalId, readerId, cursor: BigInt(cursor) };
    await connection.call((attempt) => client.acknowledgeTerminal(request, { signal: attempt }), {
      signal,
      retry: 'forever',
    });
  }
}
