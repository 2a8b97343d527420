import { randomInt } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { listProcesses } from './processes.ts';

const FIRST_UID = 70_000;
const UIDS_PER_RANGE = 100;
/** The uids below are those that a gateway takes when nobody says otherwise. */
const FIRST_RANGE = 10;
const RANGES = 100;

/**
 * Host uids for the boxes of one gateway, so that what it leaves can be told from others'. Two gateways
 * with the same uids would each take the other's processes for its own leftovers, and end them.
 */
export class UidRange {
  readonly first: number;
  readonly last: number;
  /** Listens on a name of the machine's, which the kernel gives to one process only, and takes back. */
  readonly #claim: Server;

  private constructor(index: number, claim: Server) {
    this.first = FIRST_UID + index * UIDS_PER_RANGE;
    this.last = this.first + UIDS_PER_RANGE - 1;
    this.#claim = claim;
  }

  /** Takes a range that no process has and no other gateway of any test run has taken. */
  static async take(): Promise<UidRange> {
    const used = new Set(
      listProcesses().map(({ uid }) => Math.floor((uid - FIRST_UID) / UIDS_PER_RANGE)),
    );
    const count = RANGES - FIRST_RANGE;
    const start = randomInt(count);
    for (let offset = 0; offset < count; offset++) {
      const index = FIRST_RANGE + ((start + offset) % count);
      if (used.has(index)) continue;
      const claim = await listen(`\0computesdk-test-uids-${index}`);
      if (claim) return new UidRange(index, claim);
    }
    throw new Error('every range of host uids is in use');
  }

  /** Leaves the range to others. Idempotent. */
  release(): void {
    this.#claim.close();
  }
}

/** Listens on an abstract socket. Undefined when another process does, or this one. */
function listen(path: string): Promise<Server | undefined> {
  const server = createServer().unref();
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(path, () => resolve(server));
  });
}
