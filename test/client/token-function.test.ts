import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SandboxError } from '../../client/errors.ts';
import { Sandbox } from '../../client/sandbox.ts';
import { MINUTE, TokenScene } from './support/token-scene.ts';

let scene: TokenScene;

beforeEach(() => {
  scene = new TokenScene();
});

afterEach(() => scene.end());

const failing = () => Promise.reject(new Error('no backend'));
const SIGNED_OUT = new SandboxError('unauthenticated', 'signed out');

describe('a token function that fails', () => {
  it('is asked again without a storm, and nobody notices while the old token is good', async () => {
    const { fake } = await scene.start();
    scene.next = failing;
    await scene.clock.advance(9 * MINUTE + 50_000);
    expect(scene.asked.length).toBeGreaterThan(4);
    expect(scene.asked.length).toBeLessThan(15);
    scene.next = (call) => scene.tokens.issue(`token${call}`);
    await scene.clock.advance(30_000);
    fake.print('on');
    await scene.clock.advance(0);
    expect([scene.shown, scene.heard]).toEqual(['on', []]);
  });

  it('is asked once a minute while it gives the same token again', async () => {
    scene.gateway.expiresAtMs = scene.clock.epochMs() + 100 * MINUTE;
    await scene.start(scene.gateway.connectByFunction(scene.giveToken));
    scene.next = () => 'token1';
    await scene.clock.advance(99 * MINUTE);
    expect(scene.asked).toEqual(['connect', ...Array(10).fill('expiring')]);
    expect([scene.heard, scene.states]).toEqual([[], []]);
  });

  it('has a minute more after the expiry, and then the error says why access ended', async () => {
    const { sandbox } = await scene.start();
    scene.next = failing;
    await scene.clock.advance(10 * MINUTE);
    expect(scene.states).toEqual([expect.objectContaining({ state: 'reconnecting' })]);
    await scene.clock.advance(50_000);
    expect(scene.heard).toEqual([]);
    await scene.clock.advance(MINUTE);
    expect(scene.states.at(-1)).toEqual({ state: 'closed', reason: 'expired' });
    expect(scene.heard).toEqual(['access_ended']);
    await expect(sandbox.terminal.list()).rejects.toMatchObject({
      code: 'access_ended',
      message: expect.stringContaining('no backend'),
      cause: { code: 'expired' },
    });
  });

  it('bridges the expiry when it gives a token within that minute', async () => {
    const { terminal, fake } = await scene.start();
    scene.next = failing;
    await scene.clock.advance(10 * MINUTE + 20_000);
    const write = terminal.write('x');
    scene.next = (call) => scene.tokens.issue(`token${call}`);
    await scene.clock.advance(30_000);
    await write;
    fake.print('on');
    await scene.clock.advance(0);
    expect([scene.shown, fake.typedText, scene.heard]).toEqual(['on', 'x', []]);
    expect(scene.states.at(-1)).toEqual({ state: 'connected' });
  });

  it('ends access at the expiry when it says that there is no other token', async () => {
    await scene.start();
    scene.next = () => Promise.reject(SIGNED_OUT);
    await scene.clock.advance(10 * MINUTE + 1);
    expect(scene.states.at(-1)).toEqual({ state: 'closed', reason: 'expired' });
  });

  it.each<[string, () => string | Promise<string>]>([
    ['throws', failing],
    ['says that there is no token', () => Promise.reject(SIGNED_OUT)],
    ['gives the revoked token again', () => 'token1'],
    ['gives a token that is none', () => 'never-issued'],
    ['gives what cannot be a token', () => 'two words'],
  ])('ends access at once when it %s after a revocation', async (_name, give) => {
    await scene.start();
    scene.next = give;
    scene.tokens.revoke('token1');
    await scene.clock.advance(0);
    expect(scene.states.at(-1)).toEqual({ state: 'closed', reason: 'revoked' });
    expect(scene.heard).toEqual(['access_ended']);
    expect(scene.asked).toEqual(['connect', 'refused']);
  });

  it('is waited for 30 seconds, and hears when nobody waits any more', async () => {
    const signals: AbortSignal[] = [];
    scene.gateway.tokens = scene.tokens;
    const connecting = scene.gateway.connectByFunction(({ reason, signal }) => {
      if (reason === 'connect') return scene.tokens.issue('token1');
      signals.push(signal);
      return new Promise(() => {});
    });
    const { sandbox } = await scene.start(connecting);
    await scene.clock.advance(9 * MINUTE + 31_000);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false]);
    await sandbox.disconnect();
    expect(signals.every(({ aborted }) => aborted)).toBe(true);
  });

  it('fails the connect with what it threw, and is asked once', async () => {
    const cause = new Error('no backend');
    let calls = 0;
    const token = () => {
      calls += 1;
      throw cause;
    };
    await expect(Sandbox.connect({ url: 'http://localhost:1', token })).rejects.toMatchObject({
      code: 'unauthenticated',
      field: 'token',
      cause,
    });
    expect(calls).toBe(1);
  });

  it('stops a connect whose signal fires', async () => {
    const controller = new AbortController();
    const connecting = Sandbox.connect({
      url: 'http://localhost:1',
      token: () => new Promise<string>(() => {}),
      signal: controller.signal,
    });
    controller.abort();
    await expect(connecting).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe('a token function is not asked in a storm', () => {
  it('when every new token is revoked at once', async () => {
    await scene.start();
    for (let ms = 0; ms < 30_000; ms += 50) {
      scene.tokens.revoke(`token${scene.asked.length}`);
      await scene.clock.advance(50);
    }
    expect(scene.asked.length).toBeGreaterThan(5);
    expect(scene.asked.length).toBeLessThan(25);
    await scene.clock.advance(30_000);
    expect(scene.heard).toEqual([]);
  });

  it('where the clock of the machine is an hour ahead', async () => {
    scene.clock.epochOffsetMs += 3_600_000;
    // Every token seems to have ended long ago, each at another time.
    let endedAtMs = scene.clock.epochMs() - 3_000_000;
    scene.gateway.expiresAtMs = endedAtMs;
    scene.next = (call) => {
      endedAtMs += 1;
      scene.gateway.expiresAtMs = endedAtMs;
      return `token${call}`;
    };
    await scene.start(scene.gateway.connectByFunction(scene.giveToken));
    await scene.clock.advance(10 * MINUTE);
    expect(scene.asked).toHaveLength(11);
  });
});
