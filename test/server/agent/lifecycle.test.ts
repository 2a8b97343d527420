import { describe, expect, it } from 'vitest';
import { Lifecycle } from '../../../server/agent/lifecycle.ts';
import { FakeClock } from '../../support/fake-clock.ts';

const DAY = 86_400_000;

function setUp(expiresInMs = 60 * DAY, graceMs = 600_000) {
  const clock = new FakeClock();
  const ends: string[] = [];
  const expiresAt = clock.now() + expiresInMs;
  const lifecycle = new Lifecycle({ clock, expiresAt, graceMs, onEnd: (why) => ends.push(why) });
  return { clock, ends, lifecycle };
}

describe('an agent', () => {
  it('ends when its sandbox expires, also in more days than a timer holds', () => {
    const { clock, ends, lifecycle } = setUp(30 * DAY);
    lifecycle.greet();
    clock.advance(30 * DAY - 1);
    expect(ends).toEqual([]);
    clock.advance(1);
    expect(ends).toEqual(['expired']);
    expect(clock.pendingTimers).toBe(0);
  });

  it('ends at an expiry that was moved, and at once at one that has passed', () => {
    const { clock, ends, lifecycle } = setUp(1000);
    lifecycle.greet();
    lifecycle.setExpiry(clock.now() + 5000);
    clock.advance(4999);
    expect(ends).toEqual([]);
    lifecycle.setExpiry(clock.now() - 1);
    expect(ends).toEqual(['expired']);
  });

  it('ends soon after the wall clock was set beyond its expiry', () => {
    const { clock, ends, lifecycle } = setUp(DAY);
    lifecycle.greet();
    clock.stepWallClock(2 * DAY);
    clock.advance(30_000);
    expect(ends).toEqual(['expired']);
  });

  it('ends when no gateway greeted it, or none has for its grace', () => {
    const { clock, ends, lifecycle } = setUp();
    clock.advance(599_999);
    const leave = [lifecycle.greet(), lifecycle.greet()];
    clock.advance(DAY);
    for (const end of leave) {
      end();
      end();
    }
    clock.advance(599_999);
    expect(ends).toEqual([]);
    clock.advance(1);
    expect(ends).toEqual(['abandoned']);
  });

  it('watches nothing once it is ending', () => {
    const { clock, ends, lifecycle } = setUp();
    const leave = lifecycle.greet();
    lifecycle.close();
    leave();
    lifecycle.setExpiry(0);
    expect([clock.pendingTimers, ends]).toEqual([0, []]);
  });
});
