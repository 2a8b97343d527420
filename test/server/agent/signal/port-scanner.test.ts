import { expect, it } from 'vitest';
import { PortScanner } from '../../../../server/agent/signal/port-scanner.ts';
import type { SocketOwner } from '../../../../server/agent/signal/socket-owners.ts';
import type { ListeningSocket } from '../../../../server/agent/signal/socket-table.ts';

function scene({ ownsNetwork = true } = {}) {
  const sockets: ListeningSocket[] = [];
  const owners = new Map<string, SocketOwner>();
  const asked: string[][] = [];
  const scanner = new PortScanner({
    readSockets: async () => [...sockets],
    owners: {
      async find(inodes) {
        asked.push([...inodes]);
        return new Map([...owners].filter(([inode]) => inodes.has(inode)));
      },
    },
    ownsNetwork,
  });
  return { sockets, owners, asked, scanner };
}

it('looks for the owner of a new socket only', async () => {
  const { sockets, owners, asked, scanner } = scene();
  sockets.push({ port: 3000, address: '0.0.0.0', inode: '1' });
  owners.set('1', { pid: 7, process: 'node' });
  const first = [{ port: 3000, address: '0.0.0.0', process: 'node', pid: 7 }];
  expect(await scanner.scan()).toEqual(first);
  expect(await scanner.scan()).toEqual(first);
  sockets.push({ port: 3001, address: '::', inode: '2' });
  owners.set('2', { pid: 8, process: 'vite' });
  expect(await scanner.scan()).toHaveLength(2);
  expect(asked).toEqual([['1'], ['2']]);
});

it('tells a port without an owner at once, and gives the search for one up', async () => {
  const { sockets, asked, scanner } = scene();
  sockets.push({ port: 3000, address: '::1', inode: '1' });
  const expected = [{ port: 3000, address: '::1', process: '', pid: 0 }];
  for (let scan = 0; scan < 6; scan += 1) expect(await scanner.scan()).toEqual(expected);
  expect(asked).toHaveLength(3);
});

it('tells one address of a port: the one that most callers reach', async () => {
  const { sockets, scanner } = scene();
  for (const address of ['10.0.0.1', '::1', '127.0.0.1', '::'])
    sockets.push({ port: 3000, address, inode: address });
  expect((await scanner.scan()).map(({ address }) => address)).toEqual(['::']);
  sockets.push({ port: 3000, address: '0.0.0.0', inode: '9' });
  expect((await scanner.scan()).map(({ address }) => address)).toEqual(['0.0.0.0']);
});

it('tells only ports of its own programs where the network is shared', async () => {
  const { sockets, owners, scanner } = scene({ ownsNetwork: false });
  sockets.push({ port: 22, address: '0.0.0.0', inode: '1' });
  sockets.push({ port: 3000, address: '0.0.0.0', inode: '2' });
  sockets.push({ port: 3000, address: '127.0.0.1', inode: '3' });
  owners.set('3', { pid: 9, process: 'python3' });
  const own = [{ port: 3000, address: '127.0.0.1', process: 'python3', pid: 9 }];
  expect(await scanner.scan()).toEqual(own);
});
