import { describe, expect, it } from 'vitest';
import { DomainError } from '../../../../server/core/domain-error.ts';
import {
  type LiveCall,
  LiveCallRegistry,
  MAX_LARGE_ARRIVALS_PER_SANDBOX,
  MAX_STREAMS_PER_SANDBOX,
  MAX_UNARY_CALLS_PER_SANDBOX,
} from '../../../../server/gateway/proxy/live-call-registry.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

const REVOKED = new DomainError('REVOKED', 'revoked');

describe('LiveCallRegistry', () => {
  it("ends every call of a sandbox, and no other sandbox's", () => {
    const { ended, open, registry } = setUp();
    open({ sandboxId: 'a' });
    open({ sandboxId: 'a', principalId: 'q' });
    open({ sandboxId: 'b' });
    registry.endSandbox('a', REVOKED);
    expect(ended).toEqual([REVOKED, REVOKED]);
    registry.endSandbox('unknown', REVOKED);
    expect(registry.size).toBe(1);
  });

  it('ends every call of a principal, in every sandbox', () => {
    const { ended, open, registry } = setUp();
    open({ sandboxId: 'a' });
    open({ sandboxId: 'b' });
    open({ principalId: 'other' });
    void registry.endPrincipal('p', REVOKED);
    expect(ended).toEqual([REVOKED, REVOKED]);
    registry.endAll(REVOKED);
    expect(ended).toHaveLength(3);
    expect(registry.size).toBe(0);
  });

  it('ends a stream when its token does, also one that lives longer than a timer can', () => {
    const { clock, ended, open } = setUp();
    open({ expiresAt: clock.now() + 1_000 });
    open({ expiresAt: clock.now() + 30 * 86_400_000 });
    clock.advance(999);
    expect(ended).toEqual([]);
    clock.advance(1);
    expect(ended.map(({ reason }) => reason)).toEqual(['EXPIRED']);
    clock.advance(30 * 86_400_000);
    expect(ended).toHaveLength(2);
  });

  it('follows the wall clock when that is set back', () => {
    const { clock, ended, open } = setUp();
    open({ expiresAt: clock.now() + 1_000 });
    clock.stepWallClock(-500);
    clock.advance(1_000);
    expect(ended).toEqual([]);
    clock.advance(500);
    expect(ended).toHaveLength(1);
  });

  it('limits the streams into a sandbox, and gives a place back once', () => {
    const { open } = setUp();
    const releases = Array.from({ length: MAX_STREAMS_PER_SANDBOX }, () => open({}));
    expect(() => open({})).toThrow(`the limit of ${MAX_STREAMS_PER_SANDBOX} streams`);
    open({ sandboxId: 'other' });
    open({ kind: 'unary' });
    releases[0]?.();
    releases[0]?.();
    open({});
    expect(() => open({})).toThrow('limit');
  });

  it('limits the other calls into a sandbox', () => {
    const { open } = setUp();
    for (let count = 0; count < MAX_UNARY_CALLS_PER_SANDBOX; count += 1) open({ kind: 'unary' });
    expect(() => open({ kind: 'unary' })).toThrow(`the limit of ${MAX_UNARY_CALLS_PER_SANDBOX}`);
  });

  it('counts a call only when its request has arrived', () => {
    const { arrive, open } = setUp();
    const call = { kind: 'unary' } as const;
    const slow = Array.from({ length: 2 * MAX_UNARY_CALLS_PER_SANDBOX }, () => arrive(call));
    for (let count = 1; count < MAX_UNARY_CALLS_PER_SANDBOX; count += 1) open(call);
    slow[0]?.enter();
    expect(() => slow[1]?.enter()).toThrow(`the limit of ${MAX_UNARY_CALLS_PER_SANDBOX}`);
    slow[0]?.leave();
    slow[2]?.leave();
    slow[2]?.enter();
    slow[1]?.enter();
  });

  it('limits the large requests that arrive for a sandbox', () => {
    const { arrive } = setUp();
    const places = Array.from({ length: MAX_LARGE_ARRIVALS_PER_SANDBOX }, () => arrive({}));
    for (const { arriveLarge } of places) arriveLarge();
    const last = arrive({});
    expect(last.arriveLarge).toThrow(`the limit of ${MAX_LARGE_ARRIVALS_PER_SANDBOX} large`);
    places[0]?.enter();
    last.arriveLarge();
    expect(arrive({}).arriveLarge).toThrow('limit');
    places[1]?.leave();
    arrive({}).arriveLarge();
  });

  it('forgets a later call of the same sandbox no more than any other', () => {
    const { arrive, registry } = setUp();
    const first = arrive({});
    first.leave();
    const ended: unknown[] = [];
    arrive({ end: (cause) => void ended.push(cause) });
    first.leave();
    registry.endSandbox('s', REVOKED);
    expect(ended).toEqual([REVOKED]);
  });

  it('keeps nothing of a call that is over', () => {
    const { clock, open, registry } = setUp();
    open({ expiresAt: clock.now() + 1_000 })();
    expect(registry.size).toBe(0);
    expect(clock.pendingTimers).toBe(0);
  });
});

function setUp() {
  const clock = new FakeClock();
  const registry = new LiveCallRegistry(clock);
  const ended: DomainError[] = [];
  const arrive = (call: Partial<LiveCall>) =>
    registry.open({
      sandboxId: 's',
      principalId: 'p',
      kind: 'stream',
      end: () => undefined,
      ...call,
    });
  const open = (call: Partial<LiveCall>) => {
    let release = () => {};
    const end = (cause: DomainError) => {
      ended.push(cause);
      release();
      return undefined;
    };
    const place = arrive({ end, ...call });
    release = place.leave;
    place.enter();
    return release;
  };
  return { clock, registry, ended, arrive, open };
}
