import { expect, it } from 'vitest';
import { PortTable } from '../../../../server/agent/signal/port-table.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

function scene(openPorts = 10) {
  const clock = new FakeClock();
  const changes: string[] = [];
  const table = new PortTable({
    clock,
    limits: { openPorts, portRestartMs: 1000 },
    onChange: (change, { port }) => changes.push(`${change} ${port}`),
    onFull: () => changes.push('full'),
  });
  const see = (...ports: number[]) =>
    table.update(ports.map((port) => ({ port, address: '::', process: 'node', pid: port + 1 })));
  return { clock, changes, table, see };
}

it('tells an opening at once and a close after a second', () => {
  const { clock, changes, table, see } = scene();
  see(3000);
  see();
  expect(table.decidesAt).toBe(clock.monotonic() + 1000);
  clock.advance(999);
  see();
  expect(changes).toEqual(['open 3000']);
  clock.advance(1);
  see();
  expect(changes).toEqual(['open 3000', 'close 3000']);
  expect([table.list(), table.decidesAt]).toEqual([[], undefined]);
});

it('does not take a server that restarts within a second for gone, but knows the new one', () => {
  const { clock, changes, table, see } = scene();
  see(3000);
  for (let restart = 0; restart < 5; restart += 1) {
    clock.advance(600);
    see();
    clock.advance(900);
    table.update([{ port: 3000, address: '0.0.0.0', process: 'vite', pid: restart }]);
  }
  expect(changes).toEqual(['open 3000']);
  expect(table.list()).toMatchObject([{ port: 3000, process: 'vite', pid: 4 }]);
});

it('closes at once what was gone when nobody looked', () => {
  const { changes, table, see } = scene();
  see(3000);
  table.update([], { mayRestart: false });
  expect(changes).toEqual(['open 3000', 'close 3000']);
});

it('lets what is seen count more than what is announced', () => {
  const { clock, changes, table, see } = scene();
  table.announce(3000, 'open');
  table.announce(3000, 'open');
  see(3000, 3001);
  table.announce(3001, 'close');
  table.announce(3001, 'open');
  table.announce(3000, 'close');
  expect(changes).toEqual(['open 3000', 'open 3001']);
  see();
  clock.advance(1000);
  see();
  expect(changes.slice(2)).toEqual(['close 3000']);
  table.announce(3001, 'close');
  table.announce(3002, 'close');
  expect(changes.slice(3)).toEqual(['close 3001']);
});

it('says once that there are more ports than it tells', () => {
  const { changes, see } = scene(2);
  see(1, 2, 3, 4);
  see(1, 2, 3, 4);
  expect(changes).toEqual(['open 1', 'open 2', 'full']);
});
