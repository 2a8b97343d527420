import { join } from 'node:path';
import { compute } from '../../client/compute.ts';
import type { PortSignal, Signals } from '../../client/index.ts';
import type { TestGateway } from './gateway.ts';
import { PortProgram } from './port-program.ts';

/** A port signal, and when it came by `Date.now`. */
export type ToldPort = PortSignal & { readonly toldAt: number };

/** A sandbox whose signals are listened to, with a program that opens ports in it. */
export class SignalStage implements AsyncDisposable {
  readonly sandbox: Awaited<ReturnType<typeof compute.sandbox.create>>;
  readonly program: PortProgram;
  readonly signals: Signals;
  readonly told: readonly ToldPort[];

  private constructor(parts: Pick<SignalStage, 'sandbox' | 'program' | 'signals'>) {
    this.sandbox = parts.sandbox;
    this.program = parts.program;
    this.signals = parts.signals;
    this.told = collectPorts(parts.signals);
  }

  /** The gateway must be the one that `compute` is set to. */
  static async open(gateway: TestGateway): Promise<SignalStage> {
    const sandbox = await compute.sandbox.create();
    const program = await PortProgram.start(sandbox, projectDirectory(gateway, sandbox.id));
    return new SignalStage({ sandbox, program, signals: await sandbox.signal.start() });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.signals.stop();
    await this.sandbox.destroy();
  }
}

/** Where a sandbox's `/project` is on the host. */
export function projectDirectory(gateway: TestGateway, sandboxId: string): string {
  return join(gateway.dataDirectory, 'sandboxes', sandboxId, 'project');
}

/** Notes every port signal from now on. */
export function collectPorts(signals: Signals): ToldPort[] {
  const told: ToldPort[] = [];
  signals.on('port', (signal) => told.push({ ...signal, toldAt: Date.now() }));
  return told;
}
