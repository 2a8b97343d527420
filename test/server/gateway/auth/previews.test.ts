import { expect, it } from 'vitest';
import {
  KEY_PREVIEW_MS,
  MAX_LIVE_TICKETS,
  TICKET_LIFE_MS,
} from '../../../../server/gateway/auth/previews.ts';
import { PLAIN_LINK, signIn } from '../support/sign-in.ts';
import { API_KEY, NEVER, PLAIN_SANDBOX, PLAIN_TOKEN, testCore } from '../support/test-core.ts';

async function prepare() {
  const core = await testCore();
  const { sandboxes, tokens, owner, authenticator, clock } = core;
  const { id: sandboxId } = await sandboxes.create(owner, PLAIN_SANDBOX, NEVER);
  const { text, token } = await tokens.create(owner, { ...PLAIN_TOKEN, sandboxId });
  const caller = await authenticator.authenticate(`Bearer ${text}`, clock.now());
  const { previews } = core.access;
  return { ...core, previews, caller, text, token, at: { sandboxId, port: 3000 } };
}

it('a ticket can be used for a minute, once, whoever tries', async () => {
  const { previews, caller, at, clock } = await prepare();
  const late = await previews.createTicket(caller, at);
  expect(late.expiresAt).toBe(clock.now() + TICKET_LIFE_MS);
  clock.advance(TICKET_LIFE_MS);
  expect(await previews.redeem(late.ticket, at)).toBeUndefined();
  const { ticket } = await previews.createTicket(caller, at);
  clock.advance(TICKET_LIFE_MS - 1);
  const tries = await Promise.all(Array.from({ length: 16 }, () => previews.redeem(ticket, at)));
  expect(tries.filter((access) => access !== undefined)).toHaveLength(1);
});

it('a cookie ends with the token, and is no ticket', async () => {
  const { previews, caller, token, at, tokens, owner } = await prepare();
  const { ticket } = await previews.createTicket(caller, at);
  const access = await previews.redeem(ticket, at);
  expect(access?.expiresAt).toBe(token.expiresAt);
  const cookie = access?.cookie ?? '';
  expect(await previews.redeem(cookie, at)).toBeUndefined();
  expect((await previews.viewerOf([ticket, cookie], at))?.caller).toMatchObject({
    principal: { id: token.id },
  });
  expect(await previews.viewerOf([cookie], { ...at, port: 3001 })).toBeUndefined();
  await tokens.revoke(owner, { sandboxId: at.sandboxId, tokenId: token.id });
  expect(await previews.viewerOf([cookie], at)).toBeUndefined();
});

it('nothing else is a ticket or a cookie of a preview', async () => {
  const core = await prepare();
  const { previews, at, access, owner } = core;
  const { secret } = await access.links.create(owner, { ...PLAIN_LINK, sandboxId: at.sandboxId });
  expect(await previews.redeem(secret, at)).toBeUndefined();
  const { cookie } = await signIn(core, secret);
  for (const text of [secret, cookie, core.text, API_KEY, '', 'x'.repeat(5_000)]) {
    expect(await previews.redeem(text, at)).toBeUndefined();
    expect(await previews.viewerOf([text], at)).toBeUndefined();
  }
});

it('a ticket is worth nothing once its token was revoked', async () => {
  const { previews, caller, token, at, tokens, owner } = await prepare();
  const { ticket } = await previews.createTicket(caller, at);
  await tokens.revoke(owner, { sandboxId: at.sandboxId, tokenId: token.id });
  expect(await previews.redeem(ticket, at)).toBeUndefined();
});

it('what an API key opened ends after a day, or with the sandbox', async () => {
  const { previews, at, clock, identities, sandboxes, owner } = await prepare();
  const key = identities.apiKey.callerOfId(owner.principalId);
  if (!key) throw new Error('the key is not known');
  const open = async () => {
    const { ticket } = await previews.createTicket(key, at);
    return (await previews.redeem(ticket, at))?.cookie ?? '';
  };
  const first = await open();
  clock.advance(KEY_PREVIEW_MS - 1);
  const second = await open();
  expect(await previews.viewerOf([first], at)).toBeDefined();
  clock.advance(1);
  expect(await previews.viewerOf([first], at)).toBeUndefined();
  expect(await previews.viewerOf([second], at)).toBeDefined();
  await sandboxes.destroy(owner, at.sandboxId);
});

it('a sandbox has only so many tickets at a time, and old ones are forgotten', async () => {
  const { previews, caller, at, clock } = await prepare();
  for (let index = 0; index < MAX_LIVE_TICKETS; index++) await previews.createTicket(caller, at);
  await expect(previews.createTicket(caller, at)).rejects.toMatchObject({
    reason: 'LIMIT_REACHED',
    retryAfterMs: TICKET_LIFE_MS,
  });
  clock.advance(TICKET_LIFE_MS);
  await previews.purge();
  await previews.createTicket(caller, at);
});
