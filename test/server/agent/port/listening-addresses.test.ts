import { expect, it } from 'vitest';
import { addressesIn } from '../../../../server/agent/port/listening-addresses.ts';

const row = (address: string, port: string, state = '0A') =>
  `   1: ${address}:${port} 00000000:0000 ${state} 00000000:00000000 00:00000000 00000000  1000        0 12345 1`;
const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

it.each([
  ['loopback', [row('0100007F', '0BB8')], ['127.0.0.1']],
  ['every address', [row('00000000', '0BB8')], ['127.0.0.1']],
  ['every address of IPv6', [row('0'.repeat(32), '0BB8')], ['::1']],
  ['loopback of IPv6', [row('00000000000000000000000001000000', '0BB8')], ['::1']],
  ['another loopback address', [row('0200007F', '0BB8')], ['127.0.0.2']],
  ['an own address', [row('6402000A', '0BB8')], ['10.0.2.100']],
  [
    'an own address of IPv6',
    [row('000080FE00000000FF00420A01020304', '0BB8')],
    ['fe80:0000:0000:0000:0a42:00ff:0403:0201'],
  ],
  [
    'several, the likeliest first',
    [row('6402000A', '0BB8'), row('0'.repeat(32), '0BB8'), row('0100007F', '0BB8')],
    ['127.0.0.1', '::1', '10.0.2.100'],
  ],
  ['another port', [row('0100007F', '0BB9')], []],
  ['a connection', [row('0100007F', '0BB8', '01')], []],
  ['nothing that is a row', ['x', ''], []],
])('dials what listens on %s', (_what, rows, addresses) => {
  expect(addressesIn([[HEAD, ...rows].join('\n')], 3000)).toEqual(addresses);
});
