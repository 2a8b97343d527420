import { readFile } from 'node:fs/promises';

/** The kernel's tables of TCP sockets, of this process's network namespace. */
const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'] as const;
/** The state LISTEN, as the tables spell it. */
const LISTENING = '0A';
/** `<slot>: <local address>:<port> <remote address>:<port> <state>`, in hexadecimal. */
const ROW =
  /^\s*\d+:\s([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})\s[0-9A-F]+:[0-9A-F]{4}\s([0-9A-F]{2})\s/;

/**
 * The addresses of this machine at which something listens on a port, the likeliest first: those of
 * the loopback interface, then others. What listens on every address is dialled by loopback.
 */
export async function listeningAddresses(port: number): Promise<readonly string[]> {
  const tables = await Promise.all(TABLES.map((file) => readFile(file, 'latin1').catch(() => '')));
  return addressesIn(tables, port);
}

/** As {@link listeningAddresses}, from the text of the tables. */
export function addressesIn(tables: readonly string[], port: number): readonly string[] {
  const found = new Set<string>();
  for (const line of tables.flatMap((table) => table.split('\n'))) {
    const [, address = '', hexPort = '', state] = ROW.exec(line) ?? [];
    if (state !== LISTENING || Number.parseInt(hexPort, 16) !== port) continue;
    found.add(toDial(address));
  }
  return [...found].sort((a, b) => rank(a) - rank(b));
}

/** The address to dial for a listener's. */
function toDial(address: string): string {
  if (/^0+$/.test(address)) return address.length === 8 ? '127.0.0.1' : '::1';
  // The table shows each 32-bit word as this machine's byte order has it.
  const words = address.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) => (word.match(/../g) ?? []).reverse());
  if (bytes.length === 4) return bytes.map((byte) => Number.parseInt(byte, 16)).join('.');
  const groups = Array.from({ length: 8 }, (_, index) =>
    bytes.slice(2 * index, 2 * index + 2).join(''),
  );
  return groups.join(':') === LOOPBACK6 ? '::1' : groups.join(':').toLowerCase();
}

const LOOPBACK6 = '0000:0000:0000:0000:0000:0000:0000:0001';

function rank(address: string): number {
  if (address === '127.0.0.1') return 0;
  if (address === '::1') return 1;
  return address.startsWith('127.') ? 2 : 3;
}
