import { expect } from 'vitest';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { newSandbox, terminalClient } from './clients.ts';
import type { TestGateway } from './gateway.ts';
import { KnownOutput } from './known-output.ts';
import { anonymousBytes, readProcess } from './processes.ts';
import { RawViewer, type RawViewerOptions } from './raw-viewer.ts';
import { report } from './report.ts';
import { seed } from './scale.ts';

/** A terminal that prints known output without a limit to its speed, for readers with leases. */
export type LeaseStage = {
  attach(extra?: Pick<RawViewerOptions, 'resume'>): Promise<RawViewer>;
  /** Lets a program go on that waits. */
  begin(): Promise<void>;
  /** How much the program has printed. */
  produced(): Promise<number>;
  /** Checks the agent's memory, and cleans up. */
  end(name: string): Promise<void>;
};

export type LeaseStageOptions = {
  readonly transport: TransportKind;
  /** Whether the program begins only when it is told. */
  readonly waits?: boolean;
};

/** Far more than the log and every buffer on the way hold, so that only waiting can save it. */
export const OUTPUT_BYTES = 24_000_000;
/** How long all of it may take to be read. */
export const READ_WITHIN_MS = 60_000;
/** Above a cold start, whatever stalls: 50 viewers are owed 1.2 GB. */
const MAX_GROWTH_BYTES = 16 * 1024 * 1024;
/** Waits for a file, since typing would be echoed until the terminal is in raw mode. */
const WAITING = 'while [ ! -e /project/go ]; do sleep 0.05; done;';

/** Opens a sandbox of its own, with such a terminal. */
export async function openLeaseStage(
  gateway: TestGateway,
  options: LeaseStageOptions,
): Promise<LeaseStage> {
  const known = new KnownOutput(seed);
  const { sandbox, token } = await newSandbox(gateway);
  const client = terminalClient(sandbox.url, token);
  await client.listTerminals({});
  const [agentPid] = gateway.agentPids(sandbox.id);
  if (agentPid === undefined) throw new Error('no agent found');
  const memory = watchMemory(agentPid);
  const created = await client.createTerminal({
    shell: '/bin/sh',
    args: known.program(OUTPUT_BYTES, options.waits ? { before: WAITING } : {}),
    readerLease: { seconds: 30n },
  });
  const terminalId = created.terminal?.id ?? '';
  let reserved: string | undefined = created.readerId;
  return {
    attach: (extra) => {
      // The first viewer takes the reader that was reserved at the creation.
      const first = reserved && { cursor: 0, readerId: reserved, incarnation: '' };
      reserved = undefined;
      const resume = extra?.resume ?? (first || undefined);
      const { transport } = options;
      const access = { sandboxUrl: sandbox.url, token, transport };
      const common = { ...access, terminalId, known, acknowledges: true };
      return RawViewer.attach({ ...common, ...(resume && { resume }) });
    },
    begin: async () => {
      await client.createTerminal({ shell: 'touch', args: ['/project/go'] });
    },
    produced: async () => Number((await client.getTerminal({ terminalId })).terminal?.cursor),
    end: async (name) => {
      const growth = memory.stop();
      report({
        test: `agent memory: ${name}, ${options.transport}`,
        count: 1,
        figures: { growthMB: growth / 2 ** 20 },
      });
      expect(growth).toBeLessThanOrEqual(MAX_GROWTH_BYTES);
      await client.destroyTerminal({ terminalId });
    },
  };
}

/** Requires that a viewer got all of the output, and no gap. */
export function expectAll(viewer: RawViewer): void {
  expect(viewer.wrong).toEqual([]);
  expect(viewer.gaps).toEqual([]);
  expect(viewer.cursor).toBe(OUTPUT_BYTES);
}

/** Samples a process's memory; `stop` returns by how much it was above its start at most. */
function watchMemory(pid: number): { stop(): number } {
  const start = anonymousBytes(pid);
  let most = start;
  const timer = setInterval(() => {
    // A test that failed ends its agent without a word to us.
    if (readProcess(pid)) most = Math.max(most, anonymousBytes(pid));
    else clearInterval(timer);
  }, 50);
  timer.unref();
  return {
    stop: () => {
      clearInterval(timer);
      return most - start;
    },
  };
}
