import type { OwnerFinder, SocketOwner } from './socket-owners.ts';
import type { ListeningSocket } from './socket-table.ts';

/** A port as one look at the system shows it. */
export type SeenPort = {
  readonly port: number;
  readonly address: string;
  readonly process: string;
  readonly pid: number;
};

export type PortScannerOptions = {
  readonly readSockets: () => Promise<readonly ListeningSocket[]>;
  readonly owners: OwnerFinder;
  /** Whether every socket there is belongs to this sandbox. Else only those whose owner was found do. */
  readonly ownsNetwork: boolean;
};

/** An owner that was not found is looked for in so many scans: it may have been between two processes. */
const OWNER_ATTEMPTS = 3;

type KnownSocket = { owner: SocketOwner | undefined; attempts: number };

/** Tells which ports are open. It knows the sockets of the last scan, and looks for owners of new ones only. */
export class PortScanner {
  readonly #options: PortScannerOptions;
  /** By inode; those of the last scan. */
  #known = new Map<string, KnownSocket>();

  constructor(options: PortScannerOptions) {
    this.#options = options;
  }

  /** The open ports, one entry each. Not to be called again before it is done. */
  async scan(): Promise<SeenPort[]> {
    const { readSockets, ownsNetwork } = this.#options;
    const sockets = await readSockets();
    await this.#learn(sockets);
    const ports = new Map<number, { readonly seen: SeenPort; readonly rank: number }>();
    for (const { port, address, inode } of sockets) {
      const owner = this.#known.get(inode)?.owner;
      if (!ownsNetwork && !owner) continue;
      const rank = rankOf(address);
      if ((ports.get(port)?.rank ?? Number.POSITIVE_INFINITY) <= rank) continue;
      const { process, pid } = owner ?? { process: '', pid: 0 };
      ports.set(port, { seen: { port, address, process, pid }, rank });
    }
    return [...ports.values()].map(({ seen }) => seen);
  }

  async #learn(sockets: readonly ListeningSocket[]): Promise<void> {
    const known = new Map<string, KnownSocket>();
    const unknown = new Set<string>();
    for (const { inode } of sockets) {
      const entry = this.#known.get(inode) ?? { owner: undefined, attempts: 0 };
      known.set(inode, entry);
      if (entry.owner || entry.attempts >= OWNER_ATTEMPTS) continue;
      entry.attempts += 1;
      unknown.add(inode);
    }
    this.#known = known;
    if (unknown.size === 0) return;
    for (const [inode, owner] of await this.#options.owners.find(unknown)) {
      const entry = known.get(inode);
      if (entry) entry.owner = owner;
    }
  }
}

/** Which of a port's addresses is told: the one that most callers reach. */
function rankOf(address: string): number {
  const index = ['0.0.0.0', '::', '127.0.0.1', '::1'].indexOf(address);
  return index < 0 ? 4 : index;
}
