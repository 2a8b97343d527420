import { once } from 'node:events';
import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { socketCounter } from '../../../../server/agent/signal/socket-count.ts';
import {
  parseSocketTable,
  readListeningSockets,
} from '../../../../server/agent/signal/socket-table.ts';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';
const REST = '00000000:00000000 00:00000000 00000000  1000        0';

it('reads what listens in the table of IPv4', () => {
  const text = `${HEAD}   0: 0100007F:0BB8 00000000:0000 0A ${REST} 4711 1 0000000000000000 100 0 0 10 0
   1: 00000000:1F90 00000000:0000 0A ${REST} 4712 1 0000000000000000 100 0 0 10 0
  10: 0100007F:0BB8 0100007F:D431 01 ${REST} 4713 1 0000000000000000 20 4 30 10 -1
  11: 0100007F:0BB8 0100007F:D432 06 00000000:00000000 03:00001771 00000000     0        0 0 3 0000000000000000
`;
  expect(parseSocketTable(text)).toEqual([
    { port: 3000, address: '127.0.0.1', inode: '4711' },
    { port: 8080, address: '0.0.0.0', inode: '4712' },
  ]);
});

it('reads what listens in the table of IPv6', () => {
  const line = (address: string, port: string, inode: number) =>
    `   0: ${address}:${port} 00000000000000000000000000000000:0000 0A ${REST} ${inode} 1 0000000000000000 100 0 0 10 0`;
  const text = [
    HEAD.trimEnd(),
    line('00000000000000000000000000000000', '0BB8', 1),
    line('00000000000000000000000001000000', '0BB9', 2),
    line('0000000000000000FFFF00000100007F', '0BBA', 3),
    line('000080FE00000000FF005450A1B2C3FE', '0BBB', 4),
  ].join('\n');
  expect(parseSocketTable(text).map(({ address, port }) => `${address} ${port}`)).toEqual([
    ':: 3000',
    '::1 3001',
    '127.0.0.1 3002',
    'fe80::5054:ff:fec3:b2a1 3003',
  ]);
});

it.each([
  '',
  'nonsense',
  '   0: 0100007F 00000000:0000 0A',
  `   0: 0100007F:0BB8 00000000:0000 0A ${REST}`,
  `   0: 01007F:0BB8 00000000:0000 0A ${REST} 4711 1`,
  `   0: 0100007G:0BB8 00000000:0000 0A ${REST} 4711 1`,
  `   0: 0100007F:0000 00000000:0000 0A ${REST} 4711 1`,
  `   0: 0100007F:0BB8 00000000:0000 0A ${REST} 0 1`,
  `   0: 0100007F:0BB8 00000000:0000 0A ${REST.slice(0, 20)}`,
])('leaves out a line that makes no sense: "%s"', (line) => {
  const good = `   1: 00000000:1F90 00000000:0000 0A ${REST} 4712 1 0000000000000000`;
  expect(parseSocketTable(`${HEAD}${line}\n${good}\n`)).toEqual([
    { port: 8080, address: '0.0.0.0', inode: '4712' },
  ]);
});

it('sees a real socket come and go, and the kernel count it', async () => {
  const count = socketCounter();
  for (const host of ['127.0.0.1', '::1']) {
    const before = count();
    const server = createServer().listen(0, host);
    await once(server, 'listening');
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const found = (await readListeningSockets()).filter((socket) => socket.port === port);
    expect(found).toMatchObject([{ address: host, inode: expect.stringMatching(/^\d+$/) }]);
    expect(count()).not.toBe(before);
    server.close();
    await once(server, 'close');
    expect((await readListeningSockets()).filter((socket) => socket.port === port)).toEqual([]);
  }
});
