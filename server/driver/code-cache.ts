import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { crc32 } from 'node:zlib';
import {
  BUNDLE_NAMES,
  cacheName,
  MAKE_CODE_CACHE,
  openCodeCache,
  PROGRAM_NAME,
} from '../agent/code-cache.ts';
import { AGENT_NODE_OPTIONS } from '../agent/config.ts';
import type { Logger } from '../core/log.ts';
import type { AgentProgram } from './agent-program.ts';

/** How long making it may take, in milliseconds. It takes about as long as the start of an agent. */
const MAKE_MS = 20_000;

/**
 * Sees to it that the agent's program has a code cache of this Node.js. Agents start without one as well,
 * only later: where it cannot be made, that is all there is to say. Throws when the signal fires.
 */
export async function ensureCodeCache(
  program: AgentProgram,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  const { node, directory } = program;
  try {
    if (await areCurrent(directory)) return;
    // With the same options: V8 takes no cache that was made under others.
    const command = [...AGENT_NODE_OPTIONS, join(directory, PROGRAM_NAME), MAKE_CODE_CACHE];
    await promisify(execFile)(node, command, { env: {}, timeout: MAKE_MS, signal });
  } catch (error) {
    signal.throwIfAborted();
    const cause = error instanceof Error ? error.message : String(error);
    logger.info('agents start without a code cache, which takes a fifth longer', {
      directory,
      cause,
    });
  }
}

async function areCurrent(directory: string): Promise<boolean> {
  const current = BUNDLE_NAMES.map(async (name) => {
    const bundle = await readFile(join(directory, name));
    const content = await readFile(join(directory, cacheName(name))).catch(() => undefined);
    const cache = content && openCodeCache(bundle, content);
    return cache !== undefined && cache.checksum === crc32(cache.data);
  });
  return (await Promise.all(current)).every(Boolean);
}
