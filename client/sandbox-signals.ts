import type { MessageInitShape } from '@bufbuild/protobuf';
import { PortChange } from '../gen/computesdk/v1/signal_pb.ts';
import type { EmitSignalRequestSchema } from '../gen/computesdk/v1/signal_service_pb.ts';
import { newRequestId } from './connection/request-id.ts';
import { addressOfPreview } from './preview-url.ts';
import type { SignalContext } from './signal-context.ts';
import type { OpenPort } from './signal-events.ts';
import type { SignalOption } from './signal-option.ts';
import { Signals } from './signals.ts';
import { toUint32 } from './values.ts';

/** Announces a port. */
export interface EmitPortOptions extends SignalOption {
  /** 1 to 65,535. */
  readonly port: number;
  /** Default: `open`. */
  readonly type?: 'open' | 'close' | undefined;
}

/** Says that a server can be used. */
export interface EmitServerReadyOptions extends SignalOption {
  /** 1 to 65,535. */
  readonly port: number;
  /** Where to begin, for example `/docs?page=1`. Default: `/`. Up to 2,048 characters. */
  readonly path?: string | undefined;
}

/** Describes what went wrong. */
export interface EmitErrorOptions extends SignalOption {
  /** What, for people. 1 to 4,096 characters. */
  readonly message: string;
  /** Where. Default: empty. Up to 128 characters. */
  readonly source?: string | undefined;
}

/** A signal of a kind of one's own. */
export interface EmitCustomOptions extends SignalOption {
  /** Names the kind. 1 to 128 characters. */
  readonly name: string;
  /** What it carries. Default: empty. Up to 4,096 characters. */
  readonly data?: string | undefined;
}

type Request = MessageInitShape<typeof EmitSignalRequestSchema>['signal'];

/** The signals of a sandbox: what to hear, and what to tell to all who hear. */
export class SandboxSignals {
  readonly #context: SignalContext;

  /** @internal */
  constructor(context: SignalContext) {
    this.#context = context;
  }

  /**
   * Starts to listen to the sandbox. Resolves when it does: no port that opens later is missed, and
   * those that are open already are told to whoever listens.
   *
   * @throws SandboxError `permission_denied` (no `signal:read`), `limit_reached` (256 streams),
   * `unreachable` (after 30 seconds), `canceled`, and what ends access.
   *
   * @example
   * const signals = await sandbox.signal.start();
   * signals.on('port', ({ type, port, url }) => console.log(type, port, url));
   */
  async start({ signal }: SignalOption = {}): Promise<Signals> {
    const signals = new Signals(this.#context);
    await signals.open(signal);
    return signals;
  }

  /**
   * The ports that are open now, in their order.
   *
   * @example
   * for (const { port, process, url } of await sandbox.signal.listPorts()) console.log(port, process, url);
   */
  async listPorts(options: SignalOption = {}): Promise<OpenPort[]> {
    const { client, connection, previewUrl, url } = this.#context;
    const { ports } = await connection.call(
      (attempt) => client.listPorts({}, { signal: attempt }),
      options,
    );
    const open = ports.map(async ({ port, address, process, pid }) => ({
      ...{ port, address, process: process || undefined, pid: pid || undefined },
      // The ports are worth telling also to whom previews are closed.
      url: await previewUrl(port, options.signal).catch(() => addressOfPreview(url, port)),
    }));
    return Promise.all(open);
  }

  /**
   * Announces a port that cannot be seen to open or close, for example one of a nested container. What
   * is seen counts more: announcing a port that is open changes nothing.
   *
   * @throws SandboxError `invalid_argument`, `permission_denied` (no `signal:emit`).
   *
   * @example
   * await sandbox.signal.emitPort({ port: 8080 });
   */
  async emitPort({ port, type = 'open', signal }: EmitPortOptions): Promise<void> {
    const change = type === 'close' ? PortChange.CLOSE : PortChange.OPEN;
    await this.#emit({ case: 'port', value: { port: toUint32('port', port), change } }, signal);
  }

  /**
   * Tells all listeners that a server can be used.
   *
   * @throws SandboxError `invalid_argument`, `permission_denied` (no `signal:emit`).
   *
   * @example
   * await sandbox.signal.emitServerReady({ port: 3000, path: '/docs' });
   */
  async emitServerReady({ port, path = '', signal }: EmitServerReadyOptions): Promise<void> {
    const value = { port: toUint32('port', port), path };
    await this.#emit({ case: 'serverReady', value }, signal);
  }

  /**
   * Tells all listeners that something went wrong.
   *
   * @throws SandboxError `invalid_argument`, `permission_denied` (no `signal:emit`).
   *
   * @example
   * await sandbox.signal.emitError({ message: 'the build failed', source: 'build' });
   */
  async emitError({ message, source = '', signal }: EmitErrorOptions): Promise<void> {
    await this.#emit({ case: 'error', value: { message, source } }, signal);
  }

  /**
   * Tells all listeners something that only they understand; they get it as `custom`.
   *
   * @throws SandboxError `invalid_argument`, `permission_denied` (no `signal:emit`).
   *
   * @example
   * await sandbox.signal.emit({ name: 'progress', data: JSON.stringify({ done: 0.4 }) });
   */
  async emit({ name, data = '', signal }: EmitCustomOptions): Promise<void> {
    await this.#emit({ case: 'custom', value: { name, data } }, signal);
  }

  async #emit(what: Request, signal: AbortSignal | undefined): Promise<void> {
    const { client, connection } = this.#context;
    const request = { requestId: newRequestId(), ...(what && { signal: what }) };
    await connection.call((attempt) => client.emitSignal(request, { signal: attempt }), { signal });
  }
}
