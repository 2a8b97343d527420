import { DomainError } from '../core/domain-error.ts';
import type { Logger } from '../core/log.ts';
import { type AgentProgram, checkNativeCode, findAgentProgram } from './agent-program.ts';
import { BubblewrapDriver } from './bubblewrap-driver.ts';
import { ensureCodeCache } from './code-cache.ts';
import type { Driver, Egress } from './driver.ts';
import { ProcessDriver } from './process-driver.ts';

export type OpenDriverOptions = {
  /** Default: bubblewrap if it works, else process. */
  readonly name?: 'bubblewrap' | 'process';
  /** Default: nat if it can be had, else none. */
  readonly egress?: Egress;
  /** Default: the agent of this installation. */
  readonly program?: AgentProgram;
  readonly logger: Logger;
};

/** A driver that was seen working, with the outgoing network that it gives. */
export type OpenedDriver = {
  readonly driver: Driver;
  /** For {@link BoxSpec.egress}. */
  readonly egress: Egress;
};

const NO_ISOLATION = [
  '##################################################################################',
  '##  NO ISOLATION: sandboxes are plain processes of the user who runs the gateway.',
  '##  Code in them reads its files and keys, and reaches its network. Own code only.',
  '##################################################################################',
].join('\n');

/**
 * Chooses a driver and tries it with a real box. Throws DRIVER_UNAVAILABLE with the cause and the one
 * fix when the named one does not work; without a name the next best one is taken, with a warning.
 */
export async function openDriver(
  options: OpenDriverOptions,
  signal: AbortSignal,
): Promise<OpenedDriver> {
  const { name, logger } = options;
  const program = options.program ?? findAgentProgram();
  checkNativeCode(program);
  if (!options.program) await ensureCodeCache(program, logger, signal);
  if (name === 'process') return openProcess(program, options, signal);
  try {
    return await openBubblewrap(program, options, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (name === 'bubblewrap' || !(error instanceof DomainError)) throw error;
    if (options.egress === 'none' || options.egress === 'nat') throw error;
    logger.warn('bubblewrap does not work here; sandboxes run without isolation', {
      cause: error.message,
    });
    return openProcess(program, options, signal);
  }
}

async function openBubblewrap(
  program: AgentProgram,
  { egress, logger }: OpenDriverOptions,
  signal: AbortSignal,
): Promise<OpenedDriver> {
  if (egress !== undefined) return tryBubblewrap(program, egress, signal);
  try {
    return await tryBubblewrap(program, 'nat', signal);
  } catch (error) {
    signal.throwIfAborted();
    const opened = await tryBubblewrap(program, 'none', signal);
    const cause = error instanceof Error ? error.message : String(error);
    logger.warn('sandboxes get no outgoing network (egress none), since nat cannot be had', {
      cause,
    });
    return opened;
  }
}

async function tryBubblewrap(
  program: AgentProgram,
  egress: Egress,
  signal: AbortSignal,
): Promise<OpenedDriver> {
  const driver = new BubblewrapDriver({ program, egress });
  try {
    await driver.verify(signal);
    return { driver, egress };
  } catch (error) {
    driver.close();
    throw error;
  }
}

async function openProcess(
  program: AgentProgram,
  { egress, logger }: OpenDriverOptions,
  signal: AbortSignal,
): Promise<OpenedDriver> {
  if (egress === 'none' || egress === 'nat') {
    throw new DomainError(
      'BAD_SETTING',
      `COMPUTESDK_EGRESS: the process driver cannot limit the network to ${egress}; leave it out, or use COMPUTESDK_DRIVER=bubblewrap`,
    );
  }
  const driver = new ProcessDriver({ program });
  await driver.verify(signal);
  logger.warn(NO_ISOLATION);
  return { driver, egress: 'host' };
}
