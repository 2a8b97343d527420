import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { boxMarker } from '../../../../server/driver/box-handle.ts';
import type { Box, BoxSpec, Driver, Egress } from '../../../../server/driver/driver.ts';
import { environmentHas, listProcesses } from '../../../support/processes.ts';
import { UidRange } from '../../../support/uid-range.ts';
import { type CommandResult, run } from './command-agent.ts';

export type BenchOptions = {
  readonly egress?: Egress;
  /** Below the bench's own directory. */
  readonly folder?: string;
  readonly uid?: number;
  readonly logLevel?: BoxSpec['agent']['logLevel'];
};

/** A box of a test. */
export type BenchBox = Box & {
  readonly spec: BoxSpec;
  readonly run: (command: string) => Promise<CommandResult>;
  readonly destroy: () => Promise<void>;
};

export const isRoot: boolean = process.getuid?.() === 0;

/** Makes boxes of one driver and removes what is left of them. */
export class BoxBench {
  readonly directory: string;
  readonly #driver: Driver;
  readonly #boxes: BenchBox[] = [];
  readonly #uids: UidRange;
  #nextUid: number;

  private constructor(driver: Driver, uids: UidRange) {
    this.#driver = driver;
    this.#uids = uids;
    this.#nextUid = uids.first;
    this.directory = mkdtempSync(join(tmpdir(), 'box-'));
    chmodSync(this.directory, 0o700);
  }

  static async open(driver: Driver): Promise<BoxBench> {
    return new BoxBench(driver, await UidRange.take());
  }

  spec(options: BenchOptions = {}): BoxSpec {
    const sandboxId = `sbx${randomBytes(13).toString('hex')}`;
    const directory = join(this.directory, options.folder ?? '', sandboxId);
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const agent = {
      sandboxId,
      bootId: `bot${randomBytes(13).toString('hex')}`,
      previousBootIds: [],
      expiresAt: Date.now() + 600_000,
      graceMs: 600_000,
      logLevel: options.logLevel ?? ('info' as const),
    };
    const spec = { sandboxId, directory, egress: options.egress ?? 'none', agent };
    if (!isRoot || !this.#driver.isolated) return spec;
    if (this.#nextUid > this.#uids.last) throw new Error('the bench has no uid left');
    const uid = options.uid ?? this.#nextUid++;
    return { ...spec, uid };
  }

  async start(options: BenchOptions = {}): Promise<BenchBox> {
    const spec = this.spec(options);
    const box = await this.#driver.start(spec, AbortSignal.timeout(20_000));
    const bench: BenchBox = {
      ...box,
      spec,
      run: (command) => run(box.endpoint.socketPath, command),
      destroy: () => this.#driver.destroy({ ...spec, handle: box.handle }),
    };
    this.#boxes.push(bench);
    return bench;
  }

  /** Ends all boxes and deletes their files. */
  async clear(): Promise<void> {
    await Promise.all(this.#boxes.splice(0).map((box) => box.destroy()));
  }

  async close(): Promise<void> {
    await this.clear();
    this.#uids.release();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Commands of the processes that belong to a box: by its marker, its uid, or a word in their command line. */
export function processesOfBox(spec: BoxSpec, word?: string): string[] {
  const marker = boxMarker(spec.directory);
  return listProcesses()
    .filter(
      ({ pid, uid, command, state }) =>
        state !== 'Z' &&
        pid !== process.pid &&
        (environmentHas(pid, marker) ||
          (spec.uid !== undefined && uid === spec.uid) ||
          (word !== undefined && command.includes(word))),
    )
    .map(({ command }) => command);
}
