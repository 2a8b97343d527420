import type { Socket } from 'node:net';
import type { Clock, Timer } from '../../core/clock.ts';
import { every } from '../../core/every.ts';
import { resetConnection } from '../../rpc/reset.ts';
import { afterReading, END_READ_MS } from '../proxy/end-of-access.ts';
import { StallWatch } from '../proxy/stall-watch.ts';
import type { WebSocket } from './web-socket.ts';

/** How often an idle client is asked whether it is there, in milliseconds. Proxies cut after 60 s of silence. */
const PING_MS = 20_000;

/** Whether a client on a WebSocket is there and reads what it is sent. */
export class ReadingWatch {
  readonly #webSocket: WebSocket;
  readonly #socket: Socket;
  readonly #clock: Clock;
  readonly #stall: StallWatch;
  readonly #timer: Timer;
  /** Pings, counted. */
  #asked = 0;
  #answered = 0;
  /** The ping at the last look. */
  #lookedAt = 0;
  /** What is asked at the end of this turn. */
  #required: Promise<void> | undefined;

  constructor(webSocket: WebSocket, socket: Socket, clock: Clock) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#clock = clock;
    this.#stall = new StallWatch(clock, socket, () => resetConnection(socket));
    this.#timer = every(clock, PING_MS, async () => this.#look());
    webSocket.on('pong', (data: Buffer) => {
      if (data.length === 4) this.#answered = Math.max(this.#answered, data.readUInt32BE());
    });
    socket.on('drain', () => this.#stall.stop());
  }

  /** The client takes less than it is sent. */
  onBehind(): void {
    this.#stall.start();
  }

  /**
   * Resets the connection unless the client has read all that was sent in this turn of the loop soon:
   * the system holds megabytes for a client that does not read, and would send them whenever it does.
   * Resolves when one of both has happened.
   */
  require(): Promise<void> {
    this.#required ??= Promise.resolve().then(() => {
      this.#required = undefined;
      return this.#requirePong(this.#ping());
    });
    return this.#required;
  }

  stop(): void {
    this.#timer.clear();
    this.#stall.stop();
  }

  #requirePong(ping: number): Promise<void> {
    return new Promise((resolve) => {
      const settle = () => {
        cut.clear();
        this.#webSocket.off('pong', look);
        this.#socket.off('close', settle);
        resolve();
      };
      const look = () => {
        if (this.#answered >= ping) settle();
      };
      const check = () => {
        if (this.#answered < ping && !this.#socket.destroyed) resetConnection(this.#socket);
        settle();
      };
      const cut = this.#clock.setTimer(() => afterReading(check), END_READ_MS);
      this.#webSocket.on('pong', look);
      this.#socket.once('close', settle);
    });
  }

  #look(): void {
    if (this.#answered < this.#lookedAt) resetConnection(this.#socket);
    else this.#lookedAt = this.#ping();
  }

  #ping(): number {
    this.#asked += 1;
    const data = Buffer.alloc(4);
    data.writeUInt32BE(this.#asked);
    if (this.#webSocket.readyState === this.#webSocket.OPEN) this.#webSocket.ping(data);
    return this.#asked;
  }
}
