import { BlockList, isIP } from 'node:net';
import type { ClientAddress } from '../../core/client-address.ts';
import type { HttpRequest } from '../../rpc/connect-node.ts';

/** The most entries of X-Forwarded-For that are looked at, from the right. Nobody has a longer chain of proxies. */
const MAX_FORWARDED_ENTRIES = 16;
/** An address in brackets, with or without a port; or an IPv4 address with a port. */
const BRACKETED = /^\[([^\]]+)\](?::\d{1,5})?$/;
const WITH_PORT = /^(\d+\.\d+\.\d+\.\d+):\d{1,5}$/;
/** Where the connection was gone before anyone asked. */
const UNKNOWN: ClientAddress = { address: 'unknown', bucket: 'unknown', isLimited: true };

/** Tells which client a request comes from: the peer, or whom trusted proxies name. */
export class ClientAddresses {
  readonly #trusted: BlockList | undefined;

  /** `trustedProxies` are addresses and CIDR blocks, checked before. */
  constructor(trustedProxies: readonly string[]) {
    this.#trusted = trustedProxies.length > 0 ? blockListOf(trustedProxies) : undefined;
  }

  /** The client of a request. */
  of(request: HttpRequest): ClientAddress {
    const socketAddress = request.socket?.remoteAddress;
    const peer = socketAddress === undefined ? undefined : normalAddress(socketAddress);
    if (peer === undefined) return UNKNOWN;
    const forwarded = request.headers['x-forwarded-for'];
    const address =
      forwarded !== undefined && this.isTrusted(peer)
        ? this.#namedBy(String(forwarded), peer)
        : peer;
    return {
      address,
      bucket: bucketOf(address),
      // What runs on this machine is not limited by address: it could do worse, and a local proxy
      // that is not in the list would put all of its users into one bucket.
      isLimited: address !== peer || !isLoopbackAddress(peer),
    };
  }

  /** Whether an address is a proxy's whose word counts. */
  isTrusted(address: string): boolean {
    if (!this.#trusted) return false;
    if (isIP(address) === 6) return this.#trusted.check(address, 'ipv6');
    return this.#trusted.check(address, 'ipv4') || this.#trusted.check(`::ffff:${address}`, 'ipv6');
  }

  /**
   * The right-most address that is no trusted proxy. Each proxy appends the peer that it saw, so
   * what stands left of the first stranger, or of something malformed, was written by anybody: it is
   * not looked at, and the last proxy before it counts as the client.
   */
  #namedBy(forwarded: string, peer: string): string {
    let client = peer;
    let end = forwarded.length;
    for (let looked = 0; looked < MAX_FORWARDED_ENTRIES && end >= 0; looked += 1) {
      const comma = end === 0 ? -1 : forwarded.lastIndexOf(',', end - 1);
      const address = normalAddress(addressIn(forwarded.slice(comma + 1, end).trim()));
      if (address === undefined) return client;
      client = address;
      if (!this.isTrusted(address)) return client;
      end = comma;
    }
    return client;
  }
}

/** What limits count of an address: IPv4 whole, IPv6 by its /64 network. */
export function bucketOf(address: string): string {
  if (isIP(address) !== 6) return address;
  const [head = '', tail] = address.split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array.from({ length: zeros }, () => '0'), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`;
}

/** Whether an address is this machine's own. */
export function isLoopbackAddress(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
}

/** An address in lower case, IPv4 in its own form, without a zone. Undefined for what is none. */
export function normalAddress(text: string): string | undefined {
  const [bare = ''] = text.split('%', 1);
  // Sockets of both families write an IPv4 address as an IPv6 one: the common case, without a parser.
  const mapped = bare.startsWith('::ffff:') ? bare.slice(7) : bare;
  if (isIP(mapped) === 4) return mapped;
  const family = isIP(bare);
  if (family === 0) return undefined;
  // The URL parser gives every IPv6 address its one shortest spelling, without dots.
  const spelled = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const [, high = '', low = ''] = /^::ffff:([\da-f]{1,4}):([\da-f]{1,4})$/.exec(spelled) ?? [];
  if (high === '') return spelled;
  const bits = Number.parseInt(high, 16) * 0x10000 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}

function addressIn(entry: string): string {
  return BRACKETED.exec(entry)?.[1] ?? WITH_PORT.exec(entry)?.[1] ?? entry;
}

function blockListOf(blocks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const block of blocks) {
    const [address = '', bits] = block.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}
