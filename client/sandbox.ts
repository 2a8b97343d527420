/// <reference lib="esnext.disposable" preserve="true" />
import type { Client } from '@connectrpc/connect';
import { AuthService } from '../gen/computesdk/v1/auth_service_pb.ts';
import { PreviewService } from '../gen/computesdk/v1/preview_service_pb.ts';
import { SignalService } from '../gen/computesdk/v1/signal_service_pb.ts';
import { TerminalService } from '../gen/computesdk/v1/terminal_service_pb.ts';
import { WatcherService } from '../gen/computesdk/v1/watcher_service_pb.ts';
import { Access } from './connection/access.ts';
import { type Clock, systemClock } from './connection/clock.ts';
import { Connection } from './connection/connection.ts';
import type { ConnectionState } from './connection/connection-state.ts';
import { type Credential, cookieCredential, TokenCredential } from './connection/credential.ts';
import { newClient } from './connection/new-client.ts';
import type { TransportKind } from './connection/sandbox-transport.ts';
import { askForToken, type TokenFunction } from './connection/token-function.ts';
import type { TransportFactory } from './connection/transport.ts';
import { pageWakeSignals, type WakeSignals } from './connection/wake-signals.ts';
import { openWay } from './connection/way.ts';
import { adviseOnConnect } from './credential-advice.ts';
import { Emitter, type Listener, type Unsubscribe } from './emitter.ts';
import type { PreviewUrl } from './preview-url.ts';
import { type GetUrlOptions, previewUrls } from './previews.ts';
import { SandboxSignals } from './sandbox-signals.ts';
import { type SignOutOptions, signOut } from './sign-out.ts';
import type { SignalOption } from './signal-option.ts';
import type { TerminalContext } from './terminal-context.ts';
import { Terminals } from './terminals.ts';
import { checkTransport, toBaseUrl } from './values.ts';
import { Watchers } from './watchers.ts';

/** Where a sandbox is and what opens it. */
export interface ConnectOptions extends SignalOption {
  /** The sandbox's address: `sandbox.url` of the backend. */
  readonly url: string;
  /**
   * A session token of this sandbox, or a function that gives one. Default: the cookie of a browser
   * that a magic link signed in.
   *
   * A function is called when the SDK connects; in good time before a token ends (a tenth of its
   * life, at least a minute, at most half of its life); and once after one was refused. Terminals
   * and input go on under the new token where they were. When the function throws, it is called
   * again, after up to 30 seconds; access ends when the old token was revoked, or expired a minute
   * ago. Every token must be of this sandbox.
   */
  readonly token?: string | TokenFunction | undefined;
  /**
   * How calls travel. Default: over one WebSocket, and over HTTP where none can be had, which the
   * `connection` event tells. A page over HTTP/1.1 can have five streams at a time.
   */
  readonly transport?: TransportKind | undefined;
}

/** That a credential ends soon. */
export interface CredentialExpiry {
  /** When calls are refused and streams end, by the gateway's clock. */
  readonly expiresAt: Date;
}

/** The events of a sandbox and what their listeners get. */
export type SandboxEvents = {
  /** The connection's state changed. */
  readonly connection: readonly [state: ConnectionState];
  /**
   * The credential ends soon: a tenth of its life before its end, but at least a minute, and at most
   * half of its life. Told once, and only where `token` is no function that could give another.
   */
  readonly expiring: readonly [event: CredentialExpiry];
};

/** What a sandbox is made of; a test puts its own in. @internal */
export type SandboxParts = {
  readonly url: string;
  readonly credential: Credential;
  /** Gives the tokens that follow the credential. */
  readonly giveToken?: TokenFunction;
  /** Carries all calls, instead of WebSockets and HTTP. */
  readonly transport?: TransportFactory;
  readonly transportKind?: TransportKind | undefined;
  readonly clock?: Clock;
  readonly wakeSignals?: WakeSignals;
  /** Gives the addresses of previews. Default: made of the sandbox's own address. */
  readonly previewUrl?: PreviewUrl;
};

/** How long a disconnect waits for the server to hear of it, in milliseconds. */
const GOODBYE_LIMIT_MS = 1_000;

/**
 * A sandbox, as a browser or any other client with a credential for it sees it.
 *
 * @example
 * const sandbox = await Sandbox.connect({ url: sandboxUrl, token: sessionToken });
 * const terminal = await sandbox.terminal.create({ pty: true });
 * terminal.on('output', (data) => console.log(data));
 */
export class Sandbox {
  /** The sandbox's address. */
  readonly url: string;
  /** The sandbox's terminals. */
  readonly terminal: Terminals;
  /** What goes on in the sandbox: ports that open and close, errors, what programs say. */
  readonly signal: SandboxSignals;
  /** What watches the sandbox's files. */
  readonly watcher: Watchers;
  readonly #credential: Credential;
  readonly #auth: Client<typeof AuthService>;
  readonly #connection: Connection;
  readonly #context: TerminalContext;
  readonly #previewUrl: PreviewUrl;
  readonly #emitter = new Emitter<SandboxEvents>();

  /** @internal */
  protected constructor(parts: SandboxParts) {
    const { credential, clock = systemClock, wakeSignals = pageWakeSignals } = parts;
    this.url = toBaseUrl('url', parts.url);
    const way = openWay({ ...parts, url: this.url, clock, connection: () => this.#connection });
    const { transport } = way;
    this.#credential = credential;
    // Only an answer over HTTP can take the browser's cookie away.
    this.#auth = newClient(AuthService, way.http);
    const access = new Access({
      ...{ auth: newClient(AuthService, transport), credential, clock },
      ...{ giveToken: parts.giveToken, onSuspect: way.renew },
      onExpiring: (expiresAt) => this.#emitter.emit('expiring', { expiresAt }),
    });
    this.#connection = new Connection({
      access,
      clock,
      wakeSignals,
      onState: (state) => this.#emitter.emit('connection', state),
    });
    this.#connection.closed.addEventListener('abort', way.close, { once: true });
    this.#context = {
      connection: this.#connection,
      client: newClient(TerminalService, transport),
      isDuplex: way.isDuplex,
      attached: new Set(),
    };
    this.terminal = new Terminals(this.#context);
    this.#previewUrl =
      parts.previewUrl ?? previewUrls(this.#connection, newClient(PreviewService, transport));
    this.signal = new SandboxSignals({
      connection: this.#connection,
      client: newClient(SignalService, transport),
      url: this.url,
      previewUrl: this.#previewUrl,
    });
    this.watcher = new Watchers({
      connection: this.#connection,
      client: newClient(WatcherService, transport),
    });
  }

  /**
   * Connects to a sandbox. Resolves when the gateway has accepted the credential for this sandbox:
   * the token or, without one, the cookie of a browser that a magic link signed in.
   *
   * @throws SandboxError `invalid_argument` (`field` is `url` or `token`), `unauthenticated` (where a
   * cookie is missing, the message names the likely causes; `cause` is what a `token` function
   * threw), `revoked` or `expired` (the token),
   * `permission_denied` or `not_found` (it opens another sandbox), `origin_not_allowed`,
   * `unreachable` (nothing answers there, after five seconds), `canceled`.
   *
   * @example
   * const sandbox = await Sandbox.connect({ url: sandboxUrl, token: sessionToken });
   *
   * @example
   * // A function lets access go on when the token ends.
   * const sandbox = await Sandbox.connect({
   *   url: sandboxUrl,
   *   token: async ({ signal }) => (await fetch('/api/token', { signal })).text(),
   * });
   *
   * @example
   * // After a magic link: the cookie is sent automatically.
   * const sandbox = await Sandbox.connect({ url: sandboxUrl });
   */
  static async connect(options: ConnectOptions): Promise<Sandbox> {
    const { url, token, signal } = options;
    toBaseUrl('url', url);
    const parts = { url, transportKind: checkTransport(options.transport) };
    if (token === undefined)
      return Sandbox.open({ ...parts, credential: cookieCredential }, signal);
    if (typeof token !== 'function') {
      return Sandbox.open({ ...parts, credential: new TokenCredential(token) }, signal);
    }
    const how = { clock: systemClock, signal: signal ?? new AbortController().signal };
    const credential = new TokenCredential(await askForToken(token, 'connect', how));
    return Sandbox.open({ ...parts, credential, giveToken: token }, signal);
  }

  /** @internal */
  static async open(parts: SandboxParts, signal?: AbortSignal): Promise<Sandbox> {
    const sandbox = new Sandbox(parts);
    try {
      await sandbox.#connection.open(signal);
    } catch (error) {
      throw adviseOnConnect(error, { url: sandbox.url, credential: parts.credential });
    }
    return sandbox;
  }

  /** How the sandbox is connected just now. */
  get connection(): ConnectionState {
    return this.#connection.state;
  }

  /**
   * Listens to changes of the connection, and to the coming end of the credential.
   *
   * @returns how to take the listener off again.
   *
   * @example
   * sandbox.on('connection', (connection) => {
   *   if (connection.state === 'reconnecting') showBanner(`Reconnecting in ${connection.inMs} ms`);
   *   if (connection.state === 'closed') showLogin(connection.reason);
   * });
   */
  on<K extends keyof SandboxEvents>(event: K, listener: Listener<SandboxEvents, K>): Unsubscribe {
    return this.#emitter.on(event, listener);
  }

  /** Listens to one occurrence of an event. */
  once<K extends keyof SandboxEvents>(event: K, listener: Listener<SandboxEvents, K>): Unsubscribe {
    return this.#emitter.on(event, listener, true);
  }

  /** Takes a listener off. */
  off<K extends keyof SandboxEvents>(event: K, listener: Listener<SandboxEvents, K>): void {
    this.#emitter.off(event, listener);
  }

  /**
   * An address that shows what is served on a port of the sandbox, for an iframe or a link. It opens
   * once, within 60 seconds; that browser then stays in as long as the credential lives. Previews of
   * a sandbox that was created with `previews: 'public'` have a lasting one.
   *
   * @throws SandboxError `invalid_argument` (`port`), `permission_denied`, `failed_precondition`
   * (previews need TLS, or a driver that isolates), `limit_reached`, `unreachable`, `canceled`.
   *
   * @example
   * iframe.src = await sandbox.getUrl({ port: 3000 });
   */
  getUrl({ port, signal }: GetUrlOptions): Promise<string> {
    return this.#previewUrl(port, signal);
  }

  /**
   * Lets go of the sandbox, which runs on. Streams end, input that waits is refused with `closed`.
   * Idempotent, never throws.
   */
  async disconnect(): Promise<void> {
    const { attached } = this.#context;
    if (attached.size > 0 && this.#connection.state.state === 'connected') {
      const limit = new AbortController();
      const timer = this.#connection.clock.setTimer(() => limit.abort(), GOODBYE_LIMIT_MS);
      await Promise.allSettled(
        [...attached].map((terminal) => terminal.detach({ signal: limit.signal })),
      );
      timer.clear();
    }
    this.#connection.close('disconnected');
  }

  /** The same as {@link Sandbox.disconnect}. */
  close(): Promise<void> {
    return this.disconnect();
  }

  /**
   * Signs the browser out of this sandbox, or of every sandbox that it was signed in to, and
   * disconnects. Its session token is revoked, which ends what other tabs have open with it too.
   * Only for a sandbox that was connected without a token, by the cookie of a magic link.
   *
   * @throws SandboxError `failed_precondition` (it was connected with a token: have your backend
   * revoke that, with `sessionToken.revoke`), `unreachable` (after 30 seconds; nothing was
   * disconnected), `canceled`.
   *
   * @example
   * await sandbox.signOut();
   * location.assign('/');
   */
  async signOut(options: SignOutOptions = {}): Promise<void> {
    await signOut(options, {
      auth: this.#auth,
      connection: this.#connection,
      credential: this.#credential,
    });
    await this.disconnect();
  }

  /** `await using sandbox = …` disconnects at the end of the block, where the language has it. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.disconnect();
  }

  /** A call of this credential succeeded just now. @internal */
  protected assumeConnected(): void {
    this.#connection.assumeConnected();
  }
}
