import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConfiguredCompute, compute, type ManagedSandbox } from '../client/compute.ts';
import { TestGateway } from '../test/support/gateway.ts';
import type { Figures } from './figures.ts';
import type { Line } from './lines/line.ts';
import { ptyLine } from './lines/pty-line.ts';
import { sdkLine } from './lines/sdk-line.ts';
import { relayLine, socketLine } from './lines/socket-line.ts';
import { sshLine } from './lines/ssh-line.ts';
import type { Scale } from './scale.ts';

/** Host uids of boxes, more than a test's gateway has: 100 sandboxes are made at once. */
const UIDS = '66000-66999';

/** What opens a sandbox. */
export type Access = { readonly url: string; readonly token: string };

/** What suites measure with: a gateway in a process of its own, and the ways that are compared. */
export class Stage implements AsyncDisposable {
  readonly gateway: TestGateway;
  readonly scale: Scale;
  readonly figures: Figures;
  readonly compute: ConfiguredCompute;
  /** Where the commands of ways without a sandbox run. */
  readonly directory: string = mkdtempSync(join(tmpdir(), 'bench-'));
  readonly #cleanups: (() => Promise<void>)[] = [];
  #lines: Promise<readonly Line[]> | undefined;

  private constructor(gateway: TestGateway, scale: Scale, figures: Figures) {
    this.gateway = gateway;
    this.scale = scale;
    this.figures = figures;
    this.compute = compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url });
  }

  static async open(scale: Scale, figures: Figures): Promise<Stage> {
    // A debugger that is asked for takes a free port: others may run on the machine.
    const env = {
      NODE_OPTIONS: '--inspect-port=0',
      COMPUTESDK_DRIVER: 'bubblewrap',
      COMPUTESDK_UID_RANGE: UIDS,
    };
    return new Stage(await TestGateway.start({ env }), scale, figures);
  }

  /** The product over both transports, and what it is compared with. */
  lines(): Promise<readonly Line[]> {
    this.#lines ??= this.#openLines();
    return this.#lines;
  }

  /** A new sandbox and a token for it. It is destroyed at the end, unless it was before. */
  async newSandbox(): Promise<{ readonly sandbox: ManagedSandbox; readonly access: Access }> {
    const sandbox = await this.compute.sandbox.create();
    this.adopt({ close: () => sandbox.destroy() });
    return { sandbox, access: await this.newAccess(sandbox) };
  }

  /** A new token: each has a limit of calls in a second. */
  async newAccess(sandbox: ManagedSandbox): Promise<Access> {
    const { token } = await sandbox.sessionToken.create();
    return { url: sandbox.url, token };
  }

  /** Closes something at the end. */
  adopt<T extends { close(): Promise<void> }>(resource: T): T {
    this.#cleanups.push(() => resource.close());
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const cleanup of this.#cleanups.reverse()) await cleanup();
    await this.gateway.stop();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async #openLines(): Promise<readonly Line[]> {
    const { access } = await this.newSandbox();
    return [
      this.adopt(await sdkLine(access, 'websocket')),
      this.adopt(await sdkLine(access, 'http')),
      this.adopt(await sshLine(this.directory)),
      this.adopt(await socketLine(this.directory)),
      this.adopt(await relayLine(this.directory)),
      ptyLine(this.directory),
    ];
  }
}
