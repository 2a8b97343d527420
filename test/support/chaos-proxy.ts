import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { ProxiedCall } from './proxied-call.ts';
import { ProxiedConnection } from './proxied-connection.ts';
import type { Direction } from './wire.ts';

/** What a proxy did, for a test to require. */
export type ChaosCounters = {
  /** Connections that clients opened. */
  connections: number;
  /** Requests that clients began, and calls that they opened on WebSockets. */
  calls: number;
  /** Attach calls among them. */
  attaches: number;
  /** Connections that were cut while a call was under way. One cut of everything counts once. */
  cuts: number;
  /** Cuts of a stream whose first message had passed. */
  liveStreamCuts: number;
  /** Cuts after a part of an envelope or frame that went to the client. */
  insideEnvelopeCuts: number;
  /** Cuts after a part of a frame that went to the server. */
  insideRequestCuts: number;
  /** Cuts of a request for a WebSocket, or of its answer. */
  handshakeCuts: number;
  /** Cuts of the first frame of a WebSocket, right after it, or of its welcome. */
  helloCuts: number;
  /** Cuts of a request that had not passed in full. */
  clientToServerCuts: number;
  /** Cuts of an answer that was due or had not passed in full. */
  serverToClientCuts: number;
  /** Cuts of a stream that was being resumed, before its first message had passed, or of its WebSocket. */
  reconnectCuts: number;
  resets: number;
  fins: number;
  /** Inputs that the server answered as seen before. */
  duplicates: number;
  /** Different numbered inputs. */
  inputs: number;
  /** The most WriteTerminal calls that were under way at once. */
  writesInFlight: number;
};

/** What shall happen to a call. Every member is asked before the bytes in question pass. */
export interface FaultPlan {
  /** A request's head was read, or the frame that opens a call, or the one that says hello. */
  onRequest?(call: ProxiedCall): Fault | undefined;
  /** The head of an answer was read, or the frame that is all of it: `cut` loses the whole answer. */
  onResponse?(call: ProxiedCall): 'cut' | undefined;
  /** After how many of the next `length` bytes towards the client to cut. */
  onResponseBytes?(call: ProxiedCall, length: number): number | undefined;
  /** A whole request, before any of it passes; returns what passes instead. Attach calls only. */
  rewriteAttach?(body: Buffer, call: ProxiedCall): Buffer;
  /** A connection was cut, by whatever fault. */
  onCut?(call: ProxiedCall): void;
}

/** How to treat a request: cut it after so many bytes of what was read, or answer nothing to anyone and cut all. */
export type Fault = { readonly cutAfterBytes: number } | { readonly swallowThenCutAllMs: number };

export type ChaosProxyOptions = {
  /** The port on loopback to pass everything on to. */
  readonly port: number;
  readonly plan?: FaultPlan;
  /** Whether the next cut is a reset; a FIN otherwise. */
  readonly isReset?: () => boolean;
};

/** A TCP proxy in front of a gateway that cuts, stalls and loses what passes, and counts what it did. */
export class ChaosProxy implements AsyncDisposable {
  readonly counters: ChaosCounters = noCounts();
  /** How many calls began of each RPC. Preflights count as well. */
  readonly callsOf = new Map<string, number>();
  /** Bytes a second in each direction of each connection; 0 is unlimited. */
  bytesPerSecond = 0;
  /** How long each piece that was read waits before it passes on. */
  delayMs = 0;
  plan: FaultPlan;
  readonly targetPort: number;
  readonly isReset: () => boolean;
  /** True while everything towards clients is thrown away, because a cut of all connections is near. */
  isSwallowing = false;
  readonly #server: Server;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #inputs = new Set<string>();
  readonly #held = new Map<Direction, Gate>();
  readonly #writes = new Set<ProxiedCall>();
  /** Terminal streams that broke and were not resumed yet. */
  #broken = 0;

  private constructor(server: Server, options: ChaosProxyOptions) {
    this.#server = server;
    this.targetPort = options.port;
    this.plan = options.plan ?? {};
    this.isReset = options.isReset ?? (() => true);
    server.on('connection', (client) => this.#accept(client));
  }

  static async open(options: ChaosProxyOptions): Promise<ChaosProxy> {
    const server = createServer({ noDelay: true, allowHalfOpen: true });
    const proxy = new ChaosProxy(server, options);
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get port(): number {
    // A listening TCP server's address is an object.
    return (this.#server.address() as AddressInfo).port;
  }

  /** The same address, by way of this proxy. */
  through(url: string): string {
    const proxied = new URL(url);
    proxied.host = `localhost:${this.port}`;
    return proxied.toString().replace(/\/$/, '');
  }

  /** The connections that are open, each with the calls that are under way. */
  get openConnections(): readonly ProxiedConnection[] {
    return [...this.#connections];
  }

  /** Makes what is sent in this direction disappear, for open and for new connections, without a FIN. */
  hold(...directions: Direction[]): void {
    for (const direction of directions) {
      if (!this.#held.has(direction)) this.#held.set(direction, new Gate());
    }
  }

  /** Ends {@link hold}: what was held passes now, as TCP sends again what was lost. */
  release(): void {
    for (const held of this.#held.values()) held.open();
    this.#held.clear();
  }

  /** Resolves when nothing is held in this direction. */
  async passage(direction: Direction): Promise<void> {
    for (let held = this.#held.get(direction); held; held = this.#held.get(direction))
      await held.opened;
  }

  /** Cuts every connection. Counts as one cut, if any call was under way. */
  cutAll(): void {
    const busy = this.openConnections.filter(({ calls }) => calls.length > 0);
    const isLive = ({ calls }: ProxiedConnection) => calls.some((call) => call.isLiveStream);
    const first = busy.find(isLive) ?? busy[0];
    for (const connection of this.openConnections)
      connection.cut({ isCounted: connection === first });
  }

  /** Loses all answers for a while, so that input is applied whose sender never learns it; then cuts. */
  swallowThenCutAll(ms: number): void {
    if (this.isSwallowing) return;
    this.isSwallowing = true;
    setTimeout(() => {
      this.isSwallowing = false;
      this.cutAll();
    }, ms);
  }

  noteCall(call: ProxiedCall): void {
    const { method } = call;
    this.callsOf.set(method, (this.callsOf.get(method) ?? 0) + 1);
    if (method !== 'hello') this.counters.calls++;
    if (method === 'AttachTerminal') this.counters.attaches++;
    else if (method !== 'hello' && method !== 'socket') return;
    call.isReconnect = this.#broken > 0;
  }

  noteRequestEnd(call: ProxiedCall): void {
    const write = call.writeRequest();
    if (!write) return;
    if (write.sequence > 0n)
      this.#inputs.add(`${write.terminalId} ${write.writerId} ${write.sequence}`);
    this.counters.inputs = this.#inputs.size;
    this.#writes.add(call);
    this.counters.writesInFlight = Math.max(this.counters.writesInFlight, this.#writes.size);
  }

  noteResumed(call: ProxiedCall): void {
    if (!call.isReconnect || call.isResumed) return;
    call.isResumed = true;
    this.#broken = Math.max(0, this.#broken - 1);
  }

  noteCallEnd(call: ProxiedCall, options: { isBroken: boolean }): void {
    this.#writes.delete(call);
    const isWaiting = call.isReconnect && !call.isResumed;
    if (options.isBroken && call.method === 'AttachTerminal' && !isWaiting) this.#broken++;
  }

  forget(connection: ProxiedConnection): void {
    this.#connections.delete(connection);
  }

  async close(): Promise<void> {
    this.release();
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const connection of this.openConnections) connection.cut({ isCounted: false });
    await closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #accept(client: Socket): void {
    this.counters.connections++;
    this.#connections.add(new ProxiedConnection(this, client));
  }
}

/** Keeps whoever waits until it is opened. */
class Gate {
  readonly opened: Promise<void>;
  open: () => void = () => {};

  constructor() {
    this.opened = new Promise((resolve) => {
      this.open = resolve;
    });
  }
}

function noCounts(): ChaosCounters {
  return {
    connections: 0,
    calls: 0,
    attaches: 0,
    cuts: 0,
    liveStreamCuts: 0,
    insideEnvelopeCuts: 0,
    insideRequestCuts: 0,
    handshakeCuts: 0,
    helloCuts: 0,
    clientToServerCuts: 0,
    serverToClientCuts: 0,
    reconnectCuts: 0,
    resets: 0,
    fins: 0,
    duplicates: 0,
    inputs: 0,
    writesInFlight: 0,
  };
}
