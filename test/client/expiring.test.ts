import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MINUTE, TokenScene } from './support/token-scene.ts';

let scene: TokenScene;

beforeEach(() => {
  scene = new TokenScene();
});

afterEach(() => scene.end());

/** What is heard when a credential with this life is expiring. */
function expiresIn(ms: number): string[] {
  scene.gateway.expiresAtMs = scene.clock.epochMs() + ms;
  return [`expiring ${scene.gateway.expiresAtMs}`];
}

describe('a credential that nobody can renew', () => {
  it.each([
    ['a token', () => scene.gateway.connect()],
    ['a cookie', () => scene.gateway.connectByCookie()],
  ])('is told to be expiring once, a minute before its end: %s', async (_name, connect) => {
    const told = expiresIn(10 * MINUTE);
    await scene.start(connect());
    await scene.clock.advance(9 * MINUTE - 1);
    expect(scene.heard).toEqual([]);
    await scene.clock.advance(1);
    expect(scene.heard).toEqual(told);
    scene.gateway.wake();
    await scene.clock.advance(50_000);
    expect(scene.heard).toEqual(told);
  });

  it('is told half of its life before its end when that is short', async () => {
    const told = expiresIn(10_000);
    await scene.start(scene.gateway.connect());
    await scene.clock.advance(4_999);
    expect(scene.heard).toEqual([]);
    await scene.clock.advance(1);
    expect(scene.heard).toEqual(told);
  });

  it('is told a tenth of a long life before its end, without a timer that overflows', async () => {
    const day = 24 * 60 * MINUTE;
    const told = expiresIn(30 * day);
    const { terminal } = await scene.start(scene.gateway.connect());
    expect(scene.clock.longestDelayMs).toBeLessThan(2 ** 31);
    await terminal.detach();
    await scene.clock.advance(27 * day - 1);
    expect(scene.heard).toEqual([]);
    await scene.clock.advance(1);
    expect(scene.heard).toEqual(told);
  });

  it('is told when a machine wakes up that slept through the time for it', async () => {
    const told = expiresIn(10 * 60 * MINUTE);
    const { terminal } = await scene.start(scene.gateway.connect());
    await terminal.detach();
    // Its monotonic clock stood still, so timers are hours late.
    scene.clock.epochOffsetMs += 590 * MINUTE;
    await scene.clock.advance(60 * MINUTE);
    expect(scene.heard).toEqual(told);
  });

  it('is not told when a function gives another', async () => {
    await scene.start();
    await scene.clock.advance(30 * MINUTE);
    expect(scene.heard).toEqual([]);
    expect(scene.asked.length).toBeGreaterThan(2);
  });
});
