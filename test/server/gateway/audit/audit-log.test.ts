import { appendFile, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import type { AuditEvent } from '../../../../server/core/audit.ts';
import { silentLogger } from '../../../../server/core/log.ts';
import {
  AUDIT_FILE,
  AuditLog,
  MAX_AUDIT_FILES,
  MAX_QUEUED_AUDIT_LINES,
} from '../../../../server/gateway/audit/audit-log.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { testDirectory } from '../support/test-store.ts';

const START = '2026-01-01T00:00:00.000Z';

async function openLog(options: { directory?: string; maxFileBytes?: number } = {}) {
  const directory = options.directory ?? (await testDirectory());
  const clock = new FakeClock();
  const log = await AuditLog.open({ ...options, directory, clock, logger: silentLogger });
  onTestFinished(() => log.close());
  const path = join(directory, AUDIT_FILE);
  const lines = async () => {
    await log.flush();
    const text = await readFile(path, 'utf8');
    return text.split('\n').slice(0, -1);
  };
  return { log, directory, path, clock, lines };
}

const created = (sandboxId: string): AuditEvent => ({
  ...{ event: 'sandbox.created', actor: 'key1', address: '203.0.113.9', sandboxId },
});
const refused = (subject: string): AuditEvent => ({
  ...{ event: 'session_token.refused', actor: subject, reason: 'REVOKED', subject },
});

test('writes one line for an event, in their order, for its owner only', async () => {
  const { log, path, lines } = await openLog();
  const ids = Array.from({ length: 1_000 }, (_, index) => `sbx${index}`);
  for (const id of ids) log.record(created(id));
  const written = (await lines()).map((line) => JSON.parse(line));
  expect(written[0]).toEqual({ time: START, ...created('sbx0') });
  expect(written.map(({ sandboxId }) => sandboxId)).toEqual(ids);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('makes an open log private', async () => {
  const directory = await testDirectory();
  await writeFile(join(directory, AUDIT_FILE), '', { mode: 0o644 });
  const { path } = await openLog({ directory });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('keeps control characters and endless texts inside of their line', async () => {
  const { log, lines } = await openLog();
  const origin = `https://x\r\n{"event":"forged"}\u001b[31m\u2028${'x'.repeat(10_000)}`;
  log.record({ ...created('sbx1'), origin });
  const [line = '', ...others] = await lines();
  expect(others).toEqual([]);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  expect(line).not.toMatch(/[\u0000-\u001f]/);
  expect(JSON.parse(line).origin).toBe(`${origin.slice(0, 512)}…`);
});

test('goes on after the lines of an earlier process, also when the last one is torn', async () => {
  const { log, directory, path, lines } = await openLog();
  log.record(created('sbx1'));
  await lines();
  await log.close();
  await appendFile(path, '{"time":"20');
  const next = await openLog({ directory });
  next.log.record(created('sbx2'));
  const all = await next.lines();
  expect(all.map((line) => line.includes('sbx'))).toEqual([true, false, true]);
});

test('puts full files aside and keeps eight of them', async () => {
  const { log, directory, lines } = await openLog({ maxFileBytes: 1_000 });
  for (let index = 0; index < 200; index += 1) {
    log.record(created(`sbx${index}`));
    await log.flush();
  }
  const files = (await readdir(directory)).filter((name) => name.startsWith(AUDIT_FILE));
  expect(files).toHaveLength(MAX_AUDIT_FILES);
  const aside = await readFile(join(directory, `${AUDIT_FILE}.1`), 'utf8');
  const newest = [...aside.split('\n').slice(0, -1), ...(await lines())];
  const ids = newest.map((line) => Number(JSON.parse(line).sandboxId.slice(3)));
  expect(ids.at(-1)).toBe(199);
  expect(ids).toEqual(ids.map((_, index) => 200 - ids.length + index));
});

test('drops what finds its queue full, and says how many', async () => {
  const { log, lines } = await openLog();
  // The first is being written when the others come.
  for (let index = 0; index < MAX_QUEUED_AUDIT_LINES + 6; index += 1) {
    log.record(created(`sbx${index}`));
  }
  const all = (await lines()).map((line) => JSON.parse(line));
  expect(all).toHaveLength(MAX_QUEUED_AUDIT_LINES + 2);
  expect(all.at(-1)).toEqual({ time: START, event: 'audit.dropped', actor: 'system', count: 5 });
});

test('writes one line a minute about a refused token, and few about all of them', async () => {
  const { log, clock, lines } = await openLog();
  for (let index = 0; index < 50; index += 1) log.record(refused('tok1'));
  log.record(refused('tok2'));
  clock.advance(59_000);
  log.record(refused('tok1'));
  expect(await lines()).toHaveLength(2);
  clock.advance(1_000);
  log.record(refused('tok1'));
  expect(await lines()).toHaveLength(3);
  for (let index = 0; index < 5_000; index += 1) log.record(refused(`tok of attacker ${index}`));
  expect((await lines()).length).toBeLessThan(600);
  log.record(created('sbx1'));
  expect((await lines()).at(-1)).toContain('sbx1');
});

test('syncs within a second by itself', async () => {
  const { log, clock, lines } = await openLog();
  log.record(created('sbx1'));
  await expect.poll(() => clock.pendingTimers).toBe(1);
  clock.advance(1_000);
  expect(clock.pendingTimers).toBe(0);
  expect(await lines()).toHaveLength(1);
});

test('takes nothing after its end', async () => {
  const { log, path } = await openLog();
  log.record(created('sbx1'));
  await log.close();
  log.record(created('sbx2'));
  await log.close();
  expect(await readFile(path, 'utf8')).toMatch(/^[^\n]*sbx1[^\n]*\n$/);
});
