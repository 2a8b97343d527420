import type { ConnectError, Transport } from '@connectrpc/connect';
import { Code, createRouterTransport } from '@connectrpc/connect';
import { cookieCredential, TokenCredential } from '../../../client/connection/credential.ts';
import { Sandbox } from '../../../client/sandbox.ts';
import { AuthService } from '../../../gen/computesdk/v1/auth_service_pb.ts';
import { ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { TerminalStatus } from '../../../gen/computesdk/v1/terminal_pb.ts';
import { TerminalService } from '../../../gen/computesdk/v1/terminal_service_pb.ts';
import { FakeClock } from './fake-clock.ts';
import { FakeTerminal, refusal } from './fake-terminal.ts';
import { FaultyNetwork } from './faulty-network.ts';

/** A gateway and a sandbox in memory, behind a network that a test can break. */
export class FakeGateway {
  readonly clock = new FakeClock();
  readonly network = new FaultyNetwork();
  readonly terminals = new Map<string, FakeTerminal>();
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
  readonly transport: Transport = this.network.through(this.#routes());

  /** A connected sandbox. */
  connect(signal?: AbortSignal): Promise<Sandbox> {
    return Sandbox.open(this.parts(), signal);
  }

  /** A sandbox that is connected by a browser's cookie. */
  connectByCookie(): Promise<Sandbox> {
    return Sandbox.open({ ...this.parts(), credential: cookieCredential });
  }

  parts() {
    return {
      url: 'http://gateway.test/sandboxes/sbx1',
      credential: new TokenCredential('token'),
      transport: () => this.transport,
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
    return createRouterTransport((router) => {
      router.service(AuthService, {
        whoAmI: () => {
          if (this.accessRefusal) throw this.accessRefusal;
          return {};
        },
        signOut: ({ all }) => {
          if (this.accessRefusal) throw this.accessRefusal;
          this.signOuts.push({ all });
          this.end(refusal(Code.Unauthenticated, ErrorReason.REVOKED));
          return {};
        },
      });
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
    });
  }
}
