import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MINUTE, TokenScene } from './support/token-scene.ts';

let scene: TokenScene;

beforeEach(() => {
  scene = new TokenScene();
});

afterEach(() => scene.end());

describe('a refresh', () => {
  it('comes a minute before the end, and terminals go on unnoticed where they were', async () => {
    const { terminal, fake } = await scene.start();
    fake.print('before ');
    await terminal.write('a');
    await scene.clock.advance(9 * MINUTE - 1);
    expect(scene.asked).toEqual(['connect']);
    await scene.clock.advance(1);
    expect(scene.asked).toEqual(['connect', 'expiring']);
    expect(scene.gateway.refreshes).toEqual([{ token: 'token2', previous: 'token1' }]);
    fake.print('after');
    await terminal.write('b');
    await scene.clock.advance(0);
    const [first, second] = fake.attaches;
    expect([second?.readerId, second?.writerId]).toEqual([first?.readerId, 'wrt-1']);
    expect([second?.cursor, fake.attaches.length]).toEqual([7n, 2]);
    expect([scene.shown, fake.typedText]).toEqual(['before after', 'ab']);
    expect([scene.heard, scene.states]).toEqual([[], []]);
  });

  it('lets a revoked old token disturb nothing, and a revoked new one end it', async () => {
    const { terminal, fake } = await scene.start();
    await scene.clock.advance(9 * MINUTE);
    scene.tokens.revoke('token1');
    fake.print('still here');
    await terminal.write('x');
    await scene.clock.advance(MINUTE / 2);
    expect([scene.shown, scene.heard, scene.states]).toEqual(['still here', [], []]);
    scene.next = () => 'token2';
    scene.tokens.revoke('token2');
    await scene.clock.advance(0);
    expect(scene.heard).toEqual(['access_ended']);
    expect(scene.states).toEqual([{ state: 'closed', reason: 'revoked' }]);
    expect(scene.asked).toEqual(['connect', 'expiring', 'refused']);
  });

  it('comes again and again for as long as tokens live two seconds', async () => {
    scene.next = (call) => scene.tokens.issue(`token${call}`, { lifeMs: 2_000 });
    scene.gateway.tokens = scene.tokens;
    const connecting = scene.gateway.connectByFunction(({ reason }) => {
      scene.asked.push(reason);
      return scene.next(scene.asked.length);
    });
    const { terminal, fake } = await scene.start(connecting);
    for (let line = 0; line < 100; line += 1) {
      fake.print(`${line};`);
      void terminal.write(`${line};`);
      await scene.clock.advance(300);
    }
    const lines = Array.from({ length: 100 }, (_, line) => `${line};`).join('');
    expect([scene.shown, fake.typedText]).toEqual([lines, lines]);
    expect([scene.heard, scene.states]).toEqual([[], []]);
    expect(scene.asked.length).toBeGreaterThan(25);
    expect(scene.asked).not.toContain('refused');
  });

  it('happens once after an expiry while offline, and everything resumes', async () => {
    const { terminal, fake } = await scene.start();
    scene.gateway.network.isDown = true;
    scene.gateway.network.cutStreams();
    fake.print('meanwhile');
    const write = terminal.write('x');
    await scene.clock.advance(15 * MINUTE);
    expect(scene.asked).toEqual(['connect']);
    scene.gateway.network.isDown = false;
    await scene.clock.advance(31_000);
    await write;
    expect(scene.asked).toEqual(['connect', 'refused']);
    expect([scene.shown, fake.typedText, scene.heard]).toEqual(['meanwhile', 'x', []]);
    expect(scene.states.at(-1)).toEqual({ state: 'connected' });
  });

  it('happens once although 20 streams and 20 calls are refused together', async () => {
    const { sandbox } = await scene.start();
    for (let count = 0; count < 20; count += 1) {
      const more = await sandbox.terminal.create();
      more.on('error', ({ code }) => scene.heard.push(code));
    }
    await scene.clock.advance(0);
    const lists = Array.from({ length: 20 }, () => sandbox.terminal.list());
    scene.tokens.revoke('token1');
    await scene.clock.advance(100);
    await Promise.all(lists);
    expect(scene.asked).toEqual(['connect', 'refused']);
    expect([scene.heard, scene.states]).toEqual([[], []]);
    expect(scene.gateway.network.streams).toBe(21);
  });

  it('goes on with the same token when the answer of the gateway is lost', async () => {
    await scene.start();
    let losses = 3;
    scene.gateway.network.unaryFate = (method) =>
      method === 'RefreshCredential' && losses-- > 0 ? 'lose_response' : 'pass';
    await scene.clock.advance(9 * MINUTE + 5_000);
    expect(scene.asked).toEqual(['connect', 'expiring']);
    const refresh = { token: 'token2', previous: 'token1' };
    expect(scene.gateway.refreshes).toEqual(Array(4).fill(refresh));
    expect([scene.heard, scene.states]).toEqual([[], []]);
  });

  it('is not repeated for a call that was sent under the old token and refused after it', async () => {
    const { terminal, fake } = await scene.start();
    await scene.clock.advance(9 * MINUTE - 1_000);
    const late = scene.gateway.network.holdUnary('WriteTerminal');
    const write = terminal.write('x');
    await scene.clock.advance(1_000);
    scene.tokens.revoke('token1');
    late.pass();
    await scene.clock.advance(0);
    await write;
    expect(scene.asked).toEqual(['connect', 'expiring']);
    expect([fake.typedText, scene.heard]).toEqual(['x', []]);
  });

  it('is refused for a token of another sandbox, which ends the connection', async () => {
    const { sandbox } = await scene.start();
    scene.next = () => scene.tokens.issue('foreign', { isForeign: true });
    await scene.clock.advance(9 * MINUTE);
    expect(scene.states).toEqual([{ state: 'closed', reason: 'permission_denied' }]);
    await expect(sandbox.terminal.list()).rejects.toMatchObject({
      code: 'access_ended',
      message: expect.stringContaining('token of another sandbox'),
      cause: { code: 'permission_denied', field: 'token' },
    });
  });

  it('may bring fewer scopes: what they are missing for ends, and the rest goes on', async () => {
    const { terminal, fake } = await scene.start();
    scene.next = () => scene.tokens.issue('narrow', { scopes: ['terminal:write'] });
    await scene.clock.advance(9 * MINUTE);
    expect(scene.heard).toEqual(['permission_denied']);
    await terminal.write('x');
    expect([fake.typedText, scene.states]).toEqual(['x', []]);
  });

  it('begins anew where the new token continues nothing', async () => {
    const { terminal, fake } = await scene.start();
    scene.gateway.continues = false;
    fake.print('before ');
    await scene.clock.advance(9 * MINUTE);
    fake.forgetWriters();
    await expect(terminal.write('x')).rejects.toMatchObject({ code: 'outcome_unknown' });
    await terminal.write('y');
    fake.print('after');
    await scene.clock.advance(0);
    expect([scene.shown, fake.typedText]).toEqual(['before after', 'y']);
    expect(scene.heard).toEqual(['outcome_unknown']);
  });
});
