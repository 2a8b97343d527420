import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ConnectError, ConnectRouter, Interceptor, Transport } from '@connectrpc/connect';
import { Code, createRouterTransport } from '@connectrpc/connect';
import {
  type Credential,
  cookieCredential,
  TokenCredential,
} from '../../../client/connection/credential.ts';
import type { TokenFunction } from '../../../client/connection/token-function.ts';
import { Sandbox } from '../../../client/sandbox.ts';
import { AuthService } from '../../../gen/computesdk/v1/auth_service_pb.ts';
import { ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { PreviewService } from '../../../gen/computesdk/v1/preview_service_pb.ts';
import { SignalService } from '../../../gen/computesdk/v1/signal_service_pb.ts';
import { TerminalStatus } from '../../../gen/computesdk/v1/terminal_pb.ts';
import { TerminalService } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import { WatcherService } from '../../../gen/computesdk/v1/watcher_service_pb.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeSignals } from './fake-signals.ts';
import { FakeTerminal, refusal } from './fake-terminal.ts';
import { type FakeTokens, tokenOf } from './fake-tokens.ts';
import { FakeWatchers } from './fake-watchers.ts';
import { FaultyNetwork } from './faulty-network.ts';

/** A gateway and a sandbox in memory, behind a network that a test can break. */
export class FakeGateway {
  readonly clock = new FakeClock();
  readonly network = new FaultyNetwork();
  readonly terminals = new Map<string, FakeTerminal>();
  readonly events = new FakeSignals(this.clock);
  readonly watchers = new FakeWatchers(this.clock);
  readonly #createdBy = new Map<string, FakeTerminal>();
  /** Refuses every question about the credential with this. */
  accessRefusal: ConnectError | undefined;
  /** What SignOut was asked for. */
  readonly signOuts: { readonly all: boolean }[] = [];
  /** Makes the platform hint that the network may be back. */
  wake: () => void = () => {};
  /** Sizes that a resize asked for. */
  readonly sizes: [number, number][] = [];
  readonly signals: string[] = [];
  /** The tokens that are let in. Undefined: every call is. */
  tokens: FakeTokens | undefined;
  /** When the credential ends, for a gateway that lets every call in. */
  expiresAtMs: number | undefined;
  /** What RefreshCredential was called with, and the token that called it. */
  readonly refreshes: { readonly token: string; readonly previous: string }[] = [];
  /** Whether a new token continues what the one before had. */
  continues = true;
  readonly transport: Transport = this.network.through(this.#routes());

  /** A connected sandbox. */
  connect(signal?: AbortSignal): Promise<Sandbox> {
    return Sandbox.open(this.parts(), signal);
  }

  /** A sandbox that is connected by a token, and gets others from a function. */
  async connectByFunction(giveToken: TokenFunction): Promise<Sandbox> {
    const request = { reason: 'connect', signal: new AbortController().signal } as const;
    const credential = new TokenCredential(await giveToken(request));
    return Sandbox.open({ ...this.parts(), credential, giveToken });
  }

  /** A sandbox that is connected by a browser's cookie. */
  connectByCookie(): Promise<Sandbox> {
    return Sandbox.open({ ...this.parts(), credential: cookieCredential });
  }

  parts() {
    return {
      url: 'http://gateway.test/sandboxes/sbx1',
      credential: new TokenCredential('token'),
      transport: (_url: string, credential: Credential) => authorizing(this.transport, credential),
      clock: this.clock,
      wakeSignals: (onWake: () => void) => {
        this.wake = onWake;
        return () => {
          this.wake = () => {};
        };
      },
    };
  }

  /** The terminal that was created last. */
  get lastTerminal(): FakeTerminal {
    const terminal = [...this.terminals.values()].at(-1);
    if (!terminal) throw new Error('no terminal was created');
    return terminal;
  }

  /** Ends access: every stream at once, and every call from now on. */
  end(cause: ConnectError): void {
    this.accessRefusal = cause;
    for (const terminal of this.terminals.values()) terminal.fail(cause);
  }

  addTerminal(): FakeTerminal {
    const terminal = new FakeTerminal(`trm${this.terminals.size + 1}`, this.clock);
    this.terminals.set(terminal.id, terminal);
    return terminal;
  }

  #terminal(id: string): FakeTerminal {
    const terminal = this.terminals.get(id);
    if (!terminal) throw refusal(Code.NotFound, ErrorReason.NOT_FOUND, `${id} does not exist`);
    return terminal;
  }

  #record(terminal: FakeTerminal) {
    return {
      id: terminal.id,
      incarnation: terminal.incarnation,
      cursor: BigInt(terminal.end),
      cols: 80,
      rows: 24,
      status: terminal.exit ? TerminalStatus.EXITED : TerminalStatus.RUNNING,
    };
  }

  #routes(): Transport {
    const routes = (router: ConnectRouter): void => {
      router.service(AuthService, {
        whoAmI: (_request, { requestHeader }) => {
          if (this.accessRefusal) throw this.accessRefusal;
          return this.#worthOf(requestHeader);
        },
        refreshCredential: ({ previousToken: previous }, { requestHeader }) => {
          this.refreshes.push({ token: tokenOf(requestHeader), previous });
          return { continued: this.continues, ...this.#worthOf(requestHeader) };
        },
        signOut: ({ all }) => {
          if (this.accessRefusal) throw this.accessRefusal;
          this.signOuts.push({ all });
          this.end(refusal(Code.Unauthenticated, ErrorReason.REVOKED));
          return {};
        },
      });
      router.service(PreviewService, {
        createPreviewUrl: ({ port }) => ({ url: `http://${port}-sbx1.gateway.test/` }),
      });
      router.service(SignalService, this.events.service());
      router.service(WatcherService, this.watchers.service());
      router.service(TerminalService, {
        createTerminal: ({ requestId, readerLease }) => {
          const known = this.#createdBy.get(requestId);
          const terminal = known ?? this.addTerminal();
          this.#createdBy.set(requestId, terminal);
          return {
            terminal: this.#record(terminal),
            writerId: terminal.newWriter(),
            readerId: readerLease ? 'rdr-reserved' : '',
          };
        },
        getTerminal: ({ terminalId }) => ({ terminal: this.#record(this.#terminal(terminalId)) }),
        listTerminals: () => ({
          terminals: [...this.terminals.values()].map((terminal) => this.#record(terminal)),
        }),
        attachTerminal: (request, { signal }) =>
          this.#terminal(request.terminalId).attach(request, signal),
        acknowledgeTerminal: ({ terminalId, cursor }) => {
          this.#terminal(terminalId).acknowledged.push(Number(cursor));
          return {};
        },
        detachTerminal: ({ terminalId }) => {
          this.#terminal(terminalId).detached += 1;
          return {};
        },
        writeTerminal: async ({ terminalId, writerId, sequence, data }) => {
          const terminal = this.#terminal(terminalId);
          return { duplicate: await terminal.write(writerId, Number(sequence), data) };
        },
        resizeTerminal: ({ cols, rows }) => {
          this.sizes.push([cols, rows]);
          return {};
        },
        signalTerminal: ({ signal }) => {
          this.signals.push(signal);
          return {};
        },
        destroyTerminal: ({ terminalId }) => {
          this.terminals.get(terminalId)?.finish({ signal: 'SIGTERM' });
          return {};
        },
      });
    };
    const guard: Interceptor = (next) => (request) =>
      this.tokens ? this.tokens.guard(next, request) : next(request);
    return createRouterTransport(routes, { router: { interceptors: [guard] } });
  }

  #worthOf(header: Headers) {
    const expiresAtMs = this.tokens?.expiresAtMs(tokenOf(header)) ?? this.expiresAtMs;
    return expiresAtMs === undefined ? {} : { expiresAt: timestampFromMs(expiresAtMs) };
  }
}

/** What a real transport does with a credential. */
function authorizing(inner: Transport, credential: Credential): Transport {
  const withCredential = (init: HeadersInit | undefined): Headers => {
    const header = new Headers(init);
    credential.authorize(header);
    return header;
  };
  return {
    unary: (method, signal, timeoutMs, header, ...rest) =>
      inner.unary(method, signal, timeoutMs, withCredential(header), ...rest),
    stream: (method, signal, timeoutMs, header, ...rest) =>
      inner.stream(method, signal, timeoutMs, withCredential(header), ...rest),
  };
}
