import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
});

afterEach(async () => {
  await sandbox.disconnect();
  await settle();
  expect(gateway.network.streams).toBe(0);
  expect(gateway.clock.pendingTimers).toBe(0);
});

it('output is acknowledged in order, as far as slow listeners are done with it', async () => {
  const terminal = await sandbox.terminal.create();
  const releases: (() => void)[] = [];
  terminal.on('data', (_data, { hold }) => releases.push(hold()));
  await gateway.clock.advance(0);
  for (const text of ['one', 'four', 'seven']) {
    gateway.lastTerminal.print(text);
    await settle();
  }
  await gateway.clock.advance(1_000);
  expect(gateway.lastTerminal.acknowledged).toEqual([]);
  releases[1]?.();
  await gateway.clock.advance(1_000);
  expect(gateway.lastTerminal.acknowledged).toEqual([]);
  releases[0]?.();
  releases[0]?.();
  await gateway.clock.advance(1_000);
  expect(gateway.lastTerminal.acknowledged).toEqual([7]);
  await terminal.detach();
  // Whoever is done after the end disturbs nobody.
  const { pendingTimers } = gateway.clock;
  releases[2]?.();
  expect(gateway.clock.pendingTimers).toBe(pendingTimers);
  await gateway.clock.advance(1_000);
  expect(gateway.lastTerminal.acknowledged).toEqual([7]);
});
