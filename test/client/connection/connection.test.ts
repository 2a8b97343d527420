import { create } from '@bufbuild/protobuf';
import { durationFromMs } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ConnectionState } from '../../../client/connection/connection-state.ts';
import type { Sandbox } from '../../../client/sandbox.ts';
import { ErrorDetailSchema, ErrorReason } from '../../../gen/computesdk/v1/error_pb.ts';
import { settle } from '../support/fake-clock.ts';
import { FakeGateway } from '../support/fake-gateway.ts';
import { refusal } from '../support/fake-terminal.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;
let states: ConnectionState[];

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
  states = [];
  sandbox.on('connection', (state) => states.push(state));
});

afterEach(async () => {
  await sandbox.disconnect();
  await settle();
  expect(gateway.network.streams).toBe(0);
  expect(gateway.clock.pendingTimers).toBe(0);
});

async function attach(count: number): Promise<string[]> {
  const errors: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const terminal = await sandbox.terminal.create();
    terminal.on('error', ({ code }) => errors.push(code));
  }
  await gateway.clock.advance(0);
  return errors;
}

function interrupt(): void {
  gateway.network.isDown = true;
  gateway.network.cutStreams();
}

describe('the connection', () => {
  it('tells each attempt and its delay, and that it is back', async () => {
    await attach(1);
    interrupt();
    await gateway.clock.advance(900);
    gateway.network.isDown = false;
    await gateway.clock.advance(2_000);
    expect(states).toEqual([
      { state: 'reconnecting', attempt: 1, inMs: 0 },
      { state: 'reconnecting', attempt: 2, inMs: 125 },
      { state: 'reconnecting', attempt: 3, inMs: 250 },
      { state: 'reconnecting', attempt: 4, inMs: 500 },
      { state: 'reconnecting', attempt: 5, inMs: 1_000 },
      { state: 'connected' },
    ]);
    expect(gateway.network.streams).toBe(1);
  });

  it('has one prober, not one for each of 50 streams', async () => {
    await attach(50);
    const asked = gateway.network.callsOf('WhoAmI');
    interrupt();
    await gateway.clock.advance(20_000);
    const attempts = states.filter(({ state }) => state === 'reconnecting').length;
    expect(gateway.network.callsOf('WhoAmI') - asked).toBeLessThanOrEqual(attempts);
    expect(gateway.network.callsOf('AttachTerminal')).toBe(50);
    gateway.network.isDown = false;
    await gateway.clock.advance(30_000);
    expect(gateway.network.callsOf('AttachTerminal')).toBe(100);
    expect(gateway.network.streams).toBe(50);
  });

  it('does not disturb other streams when one breaks', async () => {
    await attach(1);
    const before = gateway.network.cutStreams();
    await attach(1);
    await gateway.clock.advance(100);
    console.log(states, gateway.network.callsOf('ListTerminals'), gateway.clock.pendingTimers);
    expect(before).toBe(1);
    expect(gateway.network.streams).toBe(2);
    expect(gateway.network.callsOf('AttachTerminal')).toBe(3);
  });

  it('is taken for broken by a call that fails twice, which may have found one connection closed', async () => {
    for (const failures of [1, 2]) {
      let left = failures;
      gateway.network.unaryFate = (method) => {
        if (method !== 'ListTerminals' || left === 0) return 'pass';
        left -= 1;
        return 'lose_request';
      };
      const listed = sandbox.terminal.list();
      await gateway.clock.advance(1_000);
      expect(await listed).toEqual([]);
      const told = failures === 1 ? [] : ['reconnecting', 'connected'];
      expect(states.map(({ state }) => state)).toEqual(told);
    }
  });

  it('waits for as long as a gateway asks that gets too many calls', async () => {
    await attach(1);
    const refused = refusal(Code.ResourceExhausted, ErrorReason.RATE_LIMITED);
    const detail = { reason: ErrorReason.RATE_LIMITED, retryAfter: durationFromMs(7_000) };
    refused.details = [{ desc: ErrorDetailSchema, value: create(ErrorDetailSchema, detail) }];
    gateway.accessRefusal = refused;
    interrupt();
    gateway.network.isDown = false;
    await gateway.clock.advance(7_500);
    expect(states.slice(0, 3)).toEqual([
      { state: 'reconnecting', attempt: 1, inMs: 0 },
      { state: 'reconnecting', attempt: 2, inMs: 7_000 },
      { state: 'reconnecting', attempt: 3, inMs: 7_000 },
    ]);
    gateway.accessRefusal = undefined;
    await gateway.clock.advance(7_000);
    expect(states.at(-1)).toEqual({ state: 'connected' });
  });

  it('never gives up', async () => {
    await attach(1);
    interrupt();
    await gateway.clock.advance(2 * 3_600_000);
    expect(sandbox.connection.state).toBe('reconnecting');
    gateway.network.isDown = false;
    await gateway.clock.advance(30_000);
    expect(gateway.network.streams).toBe(1);
  });

  it('tries at once when the platform says that the network may be back', async () => {
    await attach(1);
    interrupt();
    gateway.clock.random = () => 1;
    await gateway.clock.advance(120_000);
    gateway.network.isDown = false;
    gateway.wake();
    await gateway.clock.advance(0);
    expect(sandbox.connection.state).toBe('connected');
    expect(gateway.network.streams).toBe(1);
  });

  it('notices a black hole within 12 seconds and the return within one', async () => {
    await attach(2);
    await gateway.clock.advance(20_000);
    expect(states).toEqual([]);
    gateway.network.isBlackHole = true;
    await gateway.clock.advance(12_000);
    expect(sandbox.connection.state).toBe('reconnecting');
    await gateway.clock.advance(5_000);
    gateway.network.isBlackHole = false;
    await gateway.clock.advance(1_000);
    expect(sandbox.connection.state).toBe('connected');
    await gateway.clock.advance(5_000);
    expect(gateway.network.streams).toBe(2);
  });

  it('finds out that only its own calls vanish', async () => {
    await attach(1);
    const terminal = await sandbox.terminal.create();
    gateway.network.unaryFate = () => 'black_hole';
    const write = terminal.write('x');
    await gateway.clock.advance(12_000);
    expect(sandbox.connection.state).toBe('reconnecting');
    gateway.network.unaryFate = () => 'pass';
    await gateway.clock.advance(1_000);
    await write;
    expect(gateway.lastTerminal.typedText).toBe('x');
  });

  it('repeats calls that vanished in a black hole as soon as it is over', async () => {
    await attach(1);
    const terminal = await sandbox.terminal.create();
    await gateway.clock.advance(4_000);
    gateway.network.isBlackHole = true;
    await gateway.clock.advance(5_000);
    const write = terminal.write('x');
    await gateway.clock.advance(4_000);
    expect(sandbox.connection.state).toBe('reconnecting');
    gateway.network.isBlackHole = false;
    await gateway.clock.advance(1_000);
    await write;
    expect(gateway.lastTerminal.typedText).toBe('x');
  });

  it('does not take a failure of the old way for one of the new', async () => {
    await attach(1);
    const terminal = await sandbox.terminal.create();
    const late = gateway.network.holdUnary('WriteTerminal');
    const write = terminal.write('x');
    await settle();
    interrupt();
    gateway.network.isDown = false;
    await gateway.clock.advance(500);
    expect(states.at(-1)).toEqual({ state: 'connected' });
    const known = states.length;
    late.fail();
    await gateway.clock.advance(500);
    await write;
    expect(states).toHaveLength(known);
  });

  it('is not disturbed by a program that takes its time to read input', async () => {
    const terminal = await sandbox.terminal.create();
    gateway.network.unaryFate = (method) => (method === 'WriteTerminal' ? 'black_hole' : 'pass');
    const write = terminal.write('x');
    await gateway.clock.advance(120_000);
    expect(states).toEqual([]);
    gateway.network.unaryFate = () => 'pass';
    await gateway.clock.advance(30_000);
    await write;
  });

  it('goes on without a storm after its process was stopped for a minute', async () => {
    await attach(3);
    const asked = gateway.network.callsOf('WhoAmI');
    await gateway.clock.sleep(60_000);
    await gateway.clock.advance(20_000);
    expect(states).toEqual([]);
    expect(gateway.network.callsOf('WhoAmI') - asked).toBe(1);
    expect(gateway.network.callsOf('AttachTerminal')).toBe(3);
  });

  it.each([
    ['unauthenticated', Code.Unauthenticated, ErrorReason.UNAUTHENTICATED],
    ['revoked', Code.Unauthenticated, ErrorReason.REVOKED],
    ['expired', Code.Unauthenticated, ErrorReason.EXPIRED],
    ['permission_denied', Code.PermissionDenied, ErrorReason.PERMISSION_DENIED],
    ['destroyed', Code.NotFound, ErrorReason.DESTROYED],
    ['not_found', Code.NotFound, ErrorReason.NOT_FOUND],
  ] as const)(
    'ends for good when access is %s, and every terminal hears it',
    async (code, status, reason) => {
      const errors = await attach(3);
      gateway.accessRefusal = refusal(status, reason);
      for (const terminal of gateway.terminals.values()) terminal.fail(refusal(status, reason));
      await gateway.clock.advance(60_000);
      expect(states.at(-1)).toEqual({ state: 'closed', reason: code });
      const isCredential = status === Code.Unauthenticated;
      // The others may be about the terminal alone, and are told as such before access is checked.
      expect(errors).toEqual(Array(3).fill(isCredential ? 'access_ended' : code));
      await expect(sandbox.terminal.create()).rejects.toMatchObject({ code: 'access_ended' });
    },
  );

  it('ends while it is reconnecting, if that is what it learns', async () => {
    const errors = await attach(2);
    interrupt();
    await gateway.clock.advance(5_000);
    gateway.accessRefusal = refusal(Code.Unauthenticated, ErrorReason.EXPIRED);
    gateway.network.isDown = false;
    await gateway.clock.advance(30_000);
    expect(states.at(-1)).toEqual({ state: 'closed', reason: 'expired' });
    expect(errors).toEqual(['access_ended', 'access_ended']);
  });

  it('goes on when a restarting agent is not there for a while', async () => {
    const errors = await attach(1);
    gateway.lastTerminal.fail(refusal(Code.Unavailable, ErrorReason.AGENT_UNAVAILABLE));
    await gateway.clock.advance(5_000);
    gateway.lastTerminal.failure = undefined;
    await gateway.clock.advance(10_000);
    expect(gateway.network.streams).toBe(1);
    expect(errors).toEqual([]);
    expect(states).toEqual([]);
  });

  it('is closed by its owner without an error, and says goodbye', async () => {
    const errors = await attach(2);
    await sandbox.disconnect();
    await sandbox.close();
    expect(states).toEqual([{ state: 'closed', reason: 'disconnected' }]);
    expect(errors).toEqual([]);
    expect([...gateway.terminals.values()].map(({ detached }) => detached)).toEqual([1, 1]);
    await expect(sandbox.terminal.list()).rejects.toMatchObject({ code: 'closed' });
  });
});
