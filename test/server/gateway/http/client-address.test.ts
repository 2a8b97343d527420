import { describe, expect, it } from 'vitest';
import {
  bucketOf,
  ClientAddresses,
  normalAddress,
} from '../../../../server/gateway/http/client-address.ts';
import type { HttpRequest } from '../../../../server/rpc/connect-node.ts';
import { timeBound } from '../../../support/time-bound.ts';

function requestFrom(remoteAddress: string | undefined, forwarded?: string): HttpRequest {
  const headers = forwarded === undefined ? {} : { 'x-forwarded-for': forwarded };
  // As much of a request as is looked at.
  return { socket: { remoteAddress }, headers } as unknown as HttpRequest;
}

const PROXIES = ['10.0.0.0/8', '127.0.0.1', '2001:db8::/32', '::ffff:192.0.2.0/120'];

const addressOf = (peer: string, forwarded?: string, proxies = PROXIES) =>
  new ClientAddresses(proxies).of(requestFrom(peer, forwarded)).address;

describe('the client of a request', () => {
  it.each([
    ['the peer, whose word does not count', '203.0.113.9', '198.51.100.1', '203.0.113.9'],
    ['the peer, which names nobody', '10.0.0.1', undefined, '10.0.0.1'],
    ['whom a proxy names', '10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['whom a proxy on this machine names', '127.0.0.1', '198.51.100.1', '198.51.100.1'],
    [
      'the right-most that is no proxy',
      '10.0.0.1',
      '6.6.6.6, 198.51.100.1, 10.9.9.9',
      '198.51.100.1',
    ],
    ['the left-most of proxies only', '10.0.0.1', '10.0.0.3, 10.0.0.2', '10.0.0.3'],
    ['whom a proxy with a mapped address names', '::ffff:10.0.0.1', '198.51.100.1', '198.51.100.1'],
    ['whom a proxy of a mapped block names', '192.0.2.7', '198.51.100.1', '198.51.100.1'],
    ['a mapped address in its own form', '10.0.0.1', '::FFFF:198.51.100.1', '198.51.100.1'],
    ['whom an IPv6 proxy names', '2001:db8::5', '2001:0db9:0::0001', '2001:db9::1'],
    ['an address with a port', '10.0.0.1', '198.51.100.1:4711', '198.51.100.1'],
    ['an address in brackets', '10.0.0.1', '"x", [2001:db9::1]:443', '2001:db9::1'],
    [
      'the last proxy, before what is malformed',
      '10.0.0.1',
      '6.6.6.6, unknown, 10.0.0.2',
      '10.0.0.2',
    ],
    ['the peer, when all is malformed', '10.0.0.1', '6.6.6.6, 1.2.3', '10.0.0.1'],
    ['the peer, when a proxy names nothing', '10.0.0.1', '6.6.6.6,', '10.0.0.1'],
    ['the peer, when a proxy sends an empty header', '10.0.0.1', '', '10.0.0.1'],
  ])('is %s', (_what, peer, forwarded, expected) => {
    expect(addressOf(peer, forwarded)).toBe(expected);
  });

  it('is no one left of the 16th entry', () => {
    const chain = ['198.51.100.1', ...Array.from({ length: 16 }, () => '10.0.0.2')];
    expect(addressOf('10.0.0.1', chain.join(','))).toBe('10.0.0.2');
    expect(addressOf('10.0.0.1', chain.slice(0, -1).join(','))).toBe('198.51.100.1');
  });

  it('is found at once in a header of nothing but commas', async () => {
    const startedAt = performance.now();
    expect(addressOf('10.0.0.1', ','.repeat(16_000))).toBe('10.0.0.1');
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeLessThan(await timeBound(50));
  });

  it('is unknown when the connection is gone', () => {
    const client = new ClientAddresses([]).of(requestFrom(undefined));
    expect(client).toEqual({ address: 'unknown', bucket: 'unknown', isLimited: true });
  });

  it.each([
    ['127.0.0.1', undefined, false],
    ['127.8.8.8', undefined, false],
    ['::1', undefined, false],
    ['::ffff:127.0.0.1', undefined, false],
    ['127.0.0.1', '198.51.100.1', true],
    ['10.0.0.1', '127.0.0.1', true],
    ['203.0.113.9', undefined, true],
  ])('that comes from %s for %s is limited by its address: %s', (peer, forwarded, isLimited) => {
    expect(new ClientAddresses(PROXIES).of(requestFrom(peer, forwarded)).isLimited).toBe(isLimited);
  });
});

describe('an address', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::', 'fe80:0:0:0::/64'],
    ['unknown', 'unknown'],
  ])('%s counts as %s', (address, bucket) => {
    expect(bucketOf(address)).toBe(bucket);
  });

  it.each([
    ['::ffff:203.0.113.9', '203.0.113.9'],
    ['::ffff:cb00:7109', '203.0.113.9'],
    ['0:0:0:0:0:ffff:203.0.113.9', '203.0.113.9'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['fe80::1%eth0', 'fe80::1'],
    ['1.2.3', undefined],
    ['01.2.3.4', undefined],
    ['evil', undefined],
    ['', undefined],
  ])('%s is %s', (text, expected) => {
    expect(normalAddress(text)).toBe(expected);
  });
});
