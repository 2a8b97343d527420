import { describe, expect, test } from 'vitest';
import type { Caller, TokenCaller } from '../../../../server/gateway/auth/caller.ts';
import {
  inheritedSubjects,
  MAX_SUBJECTS,
} from '../../../../server/gateway/auth/credential-refresh.ts';
import { ENDED_TOKEN_MEMORY_MS } from '../../../../server/gateway/auth/session-tokens.ts';
import {
  API_KEY,
  NEVER,
  PLAIN_SANDBOX,
  PLAIN_TOKEN,
  type TestCore,
  testCore,
} from '../support/test-core.ts';

const HOUR = 3_600_000;

async function newSandbox(core: TestCore): Promise<string> {
  const options = { ...PLAIN_SANDBOX, timeoutMs: 72 * HOUR };
  return (await core.sandboxes.create(core.owner, options, NEVER)).id;
}

function mint(core: TestCore, sandboxId: string, expiresInMs = 24 * HOUR) {
  return core.tokens.create(core.owner, { ...PLAIN_TOKEN, sandboxId, expiresInMs });
}

function callerOf(core: TestCore, text: string): Promise<Caller> {
  return core.authenticator.authenticate(`Bearer ${text}`, core.clock.now());
}

async function refresh(core: TestCore, text: string, previous: string): Promise<boolean> {
  return core.refresh.refresh(await callerOf(core, text), previous);
}

describe('a token that takes the place of an earlier one', () => {
  test('acts as both from its next call on, and makes things for the first', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const [old, next] = [await mint(core, sandboxId), await mint(core, sandboxId)];
    expect(await refresh(core, next.text, old.text)).toBe(true);
    expect((await callerOf(core, next.text)).principal).toEqual({
      id: next.token.id,
      subject: old.token.id,
      subjects: [old.token.id, next.token.id],
      scopes: next.token.scopes,
    });
    expect((await callerOf(core, old.text)).principal.subjects).toEqual([old.token.id]);
  });

  test('changes nothing when it does so again', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const [old, next] = [await mint(core, sandboxId), await mint(core, sandboxId)];
    await refresh(core, next.text, old.text);
    const first = await callerOf(core, next.text);
    expect(await refresh(core, next.text, old.text)).toBe(true);
    expect(await refresh(core, next.text, next.text)).toBe(true);
    expect(await callerOf(core, next.text)).toEqual(first);
  });

  test('keeps the first subject at the end of a chain of 300', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const first = await mint(core, sandboxId);
    let last = first;
    for (let link = 0; link < 300; link += 1) {
      const next = await mint(core, sandboxId);
      expect(await refresh(core, next.text, last.text)).toBe(true);
      last = next;
    }
    const { subject, subjects } = (await callerOf(core, last.text)).principal;
    expect([subject, subjects[0], subjects.at(-1)]).toEqual([
      first.token.id,
      first.token.id,
      last.token.id,
    ]);
    expect(subjects).toHaveLength(MAX_SUBJECTS + 1);
  });

  test('may do so when the earlier one has expired, for 24 hours', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const old = await mint(core, sandboxId, HOUR);
    const next = await mint(core, sandboxId, 72 * HOUR);
    await callerOf(core, old.text);
    core.clock.advance(2 * HOUR);
    // Noticed, so that the record says that it ended.
    await expect(callerOf(core, old.text)).rejects.toMatchObject({ reason: 'EXPIRED' });
    expect(await refresh(core, next.text, old.text)).toBe(true);
    core.clock.advance(ENDED_TOKEN_MEMORY_MS);
    const late = await mint(core, sandboxId);
    expect(await refresh(core, late.text, old.text)).toBe(false);
  });

  test('lives on when the earlier one is revoked afterwards', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const [old, next] = [await mint(core, sandboxId), await mint(core, sandboxId)];
    await refresh(core, next.text, old.text);
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: old.token.id });
    expect((await callerOf(core, next.text)).principal.subject).toBe(old.token.id);
    await core.tokens.revoke(core.owner, { sandboxId, tokenId: next.token.id });
    await expect(callerOf(core, next.text)).rejects.toMatchObject({ reason: 'REVOKED' });
  });

  test('is kept over a restart', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const [old, next] = [await mint(core, sandboxId), await mint(core, sandboxId)];
    await refresh(core, next.text, old.text);
    const before = await callerOf(core, next.text);
    await core.close();
    const again = await testCore({ directory: core.directory, clock: core.clock });
    expect(await callerOf(again, next.text)).toEqual(before);
  });

  test('is not remembered as it was by a call that began before', async () => {
    const core = await testCore();
    const sandboxId = await newSandbox(core);
    const [old, next] = [await mint(core, sandboxId), await mint(core, sandboxId)];
    const caller = await callerOf(core, next.text);
    core.authenticator.renewToken(next.token.id);
    const { sessionTokens } = core.store;
    const read = sessionTokens.get.bind(sessionTokens);
    sessionTokens.get = async (id) => {
      sessionTokens.get = read;
      const row = await read(id);
      // Between the read of the row and its being remembered.
      await core.refresh.refresh(caller, old.text);
      return row;
    };
    await callerOf(core, next.text);
    expect((await callerOf(core, next.text)).principal.subject).toBe(old.token.id);
  });
});

describe('nothing is continued, and nothing changed, from', () => {
  async function continuedFrom(prepare: (core: TestCore, own: string) => Promise<string>) {
    const core = await testCore();
    const own = await newSandbox(core);
    const next = await mint(core, own);
    const continued = await refresh(core, next.text, await prepare(core, own));
    expect((await callerOf(core, next.text)).principal.subjects).toEqual([next.token.id]);
    return continued;
  }

  test('a token of another sandbox', async () => {
    const foreign = async (core: TestCore) => (await mint(core, await newSandbox(core))).text;
    expect(await continuedFrom(foreign)).toBe(false);
  });

  test('a revoked token', async () => {
    const revoked = async (core: TestCore, own: string) => {
      const { token, text } = await mint(core, own);
      await core.tokens.revoke(core.owner, { sandboxId: own, tokenId: token.id });
      return text;
    };
    expect(await continuedFrom(revoked)).toBe(false);
  });

  test('a token of another installation, a forged one, an API key, a word', async () => {
    const other = await testCore();
    const { text } = await mint(other, await newSandbox(other));
    for (const previous of [text, `${text.slice(0, -8)}AAAAAAAA`, API_KEY, 'word']) {
      expect(await continuedFrom(async () => previous)).toBe(false);
    }
  });
});

describe('a refresh is refused', () => {
  test('for an API key and for a cookie', async () => {
    const core = await testCore();
    const { text } = await mint(core, await newSandbox(core));
    const refused = expect.objectContaining({ reason: 'FAILED_PRECONDITION' });
    const key = await callerOf(core, API_KEY);
    await expect(core.refresh.refresh(key, text)).rejects.toEqual(refused);
    const bearer = await callerOf(core, text);
    if (bearer.kind !== 'session_token') throw new Error('a token makes a token caller');
    const cookie: TokenCaller = { ...bearer, via: 'cookie' };
    await expect(core.refresh.refresh(cookie, text)).rejects.toEqual(refused);
  });

  test('without a previous token', async () => {
    const core = await testCore();
    const { text } = await mint(core, await newSandbox(core));
    await expect(refresh(core, text, '')).rejects.toMatchObject({
      reason: 'INVALID_ARGUMENT',
      field: 'previousToken',
    });
  });
});

describe('inherited subjects', () => {
  const subjects = (previous: string[], own: string[] = []) =>
    inheritedSubjects({ subjects: own }, { id: 'old', subjects: previous });

  test('are those of the earlier token, its own id among them, before those there were', () => {
    expect(subjects([])).toEqual(['old']);
    expect(subjects(['first', 'second'])).toEqual(['first', 'old', 'second']);
    expect(subjects(['first'], ['mine', 'old'])).toEqual(['first', 'old', 'mine']);
  });

  test('lose the oldest beside the foremost at the limit', () => {
    const many = Array.from({ length: MAX_SUBJECTS }, (_, index) => `s${index}`);
    expect(subjects(many)).toEqual(['s0', 'old', ...many.slice(1, -1)]);
  });
});
