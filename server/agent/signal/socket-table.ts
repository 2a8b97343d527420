import { open } from 'node:fs/promises';

/** A TCP socket in the state LISTEN. */
export type ListeningSocket = {
  readonly port: number;
  /** As people write it, for example `127.0.0.1`, `::` or `fe80:0:0:0:0:0:0:1`. */
  readonly address: string;
  /** Names the socket as long as it lives. */
  readonly inode: string;
};

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6'] as const;
/** State LISTEN, as the kernel's tables spell it. */
const LISTEN = '0A';
/** Columns: number, local address, remote address, state, …, inode. */
const COLUMNS = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) (?:\S+\s+){5}(\d+)/;
/** Most that is read of one table. The kernel lists what listens first: about 7,000 sockets. */
const MAX_TABLE_BYTES = 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;
const LITTLE_ENDIAN = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/** The sockets that listen, in this process's network namespace. A table that does not exist is empty. */
export async function readListeningSockets(): Promise<ListeningSocket[]> {
  const texts = await Promise.all(TABLES.map(readTable));
  return texts.flatMap(parseSocketTable);
}

/** What listens, of the text of `/proc/net/tcp` or `/proc/net/tcp6`. Lines that make no sense are left out. */
export function parseSocketTable(text: string): ListeningSocket[] {
  const sockets: ListeningSocket[] = [];
  for (const line of text.split('\n')) {
    const [, hex = '', port = '', state, inode = ''] = COLUMNS.exec(line) ?? [];
    const address = state === LISTEN ? parseAddress(hex) : undefined;
    const number = Number.parseInt(port, 16);
    // A socket that is on its way out has no inode any more.
    if (address === undefined || number === 0 || inode === '0') continue;
    sockets.push({ port: number, address, inode });
  }
  return sockets;
}

async function readTable(path: string): Promise<string> {
  // Reading takes milliseconds in the kernel, hence not on this thread.
  const file = await open(path).catch(() => undefined);
  if (!file) return '';
  try {
    const chunks: Buffer[] = [];
    for (let bytes = 0; bytes < MAX_TABLE_BYTES; ) {
      const { bytesRead, buffer } = await file.read({ buffer: Buffer.allocUnsafe(CHUNK_BYTES) });
      if (bytesRead === 0) break;
      bytes += bytesRead;
      chunks.push(buffer.subarray(0, bytesRead));
    }
    return Buffer.concat(chunks).toString('latin1');
  } finally {
    await file.close();
  }
}

/** The kernel prints an address as words of 32 bits in its own byte order. */
function parseAddress(hex: string): string | undefined {
  if (hex.length !== 8 && hex.length !== 32) return undefined;
  const bytes: number[] = [];
  for (let at = 0; at < hex.length; at += 8) {
    const word = [...Buffer.from(hex.slice(at, at + 8), 'hex')];
    bytes.push(...(LITTLE_ENDIAN ? word.reverse() : word));
  }
  return bytes.length === 4 ? bytes.join('.') : ipv6(bytes);
}

function ipv6(bytes: readonly number[]): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    (((bytes[2 * index] ?? 0) << 8) | (bytes[2 * index + 1] ?? 0)).toString(16),
  );
  const mapped = groups.slice(0, 5).every((group) => group === '0') && groups[5] === 'ffff';
  if (mapped) return bytes.slice(12).join('.');
  // The longest run of zeros becomes `::`; addresses worth a name have only one.
  const run = /(?:^|:)0(?::0)+(?::|$)/.exec(groups.join(':'))?.[0];
  return run === undefined ? groups.join(':') : groups.join(':').replace(run, '::');
}
