import { chmod, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import {
  ApiKeyCheck,
  hashApiKey,
  loadOrCreateApiKey,
} from '../../../../server/gateway/auth/api-key.ts';
import { testDirectory, testStore } from '../support/test-store.ts';

test('a generated key is kept in a file for its owner only, and read again', async () => {
  const directory = await testDirectory();
  const made = await loadOrCreateApiKey(directory);
  expect(made).toMatchObject({ created: true, file: join(directory, 'api-key') });
  expect(made.text).toMatch(/^csk_[\w-]{43}$/);
  expect((await stat(made.file)).mode & 0o777).toBe(0o600);
  expect(await loadOrCreateApiKey(directory)).toEqual({ ...made, created: false });
});

test('a key file that others could read is closed', async () => {
  const directory = await testDirectory();
  const { file } = await loadOrCreateApiKey(directory);
  await chmod(file, 0o644);
  await loadOrCreateApiKey(directory);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
});

test('an empty key file is an error, not a key', async () => {
  const directory = await testDirectory();
  await writeFile(join(directory, 'api-key'), '\n');
  await expect(loadOrCreateApiKey(directory)).rejects.toMatchObject({ reason: 'BAD_SETTING' });
});

test('only the key itself is the key', () => {
  const record = { id: 'key1', workspaceId: 'default', hash: hashApiKey('the key') };
  const check = new ApiKeyCheck(record);
  expect(check.callerOf('the key')?.principal.id).toBe('key1');
  for (const wrong of ['', 'the ke', 'the key ', 'THE KEY', record.hash]) {
    expect(check.callerOf(wrong)).toBeUndefined();
  }
});

test('the database holds neither the key nor its file', async () => {
  const directory = await testDirectory();
  const store = await testStore(directory);
  const { text } = await loadOrCreateApiKey(directory);
  const key = { id: 'key1', workspaceId: 'default', hash: hashApiKey(text) };
  await store.identity.useApiKey(key, 0);
  await store.close();
  const bytes = await readFile(join(directory, 'gateway.sqlite'));
  expect(bytes.includes(key.hash)).toBe(true);
  expect(bytes.includes(text)).toBe(false);
});

test('the same key keeps its id, another one takes its place', async () => {
  const store = await testStore();
  const key = (id: string, text: string) => ({
    id,
    workspaceId: 'default',
    hash: hashApiKey(text),
  });
  expect((await store.identity.useApiKey(key('key1', 'a'), 0)).id).toBe('key1');
  expect((await store.identity.useApiKey(key('key2', 'a'), 0)).id).toBe('key1');
  expect((await store.identity.useApiKey(key('key3', 'b'), 0)).id).toBe('key3');
  expect((await store.identity.useApiKey(key('key4', 'a'), 0)).id).toBe('key1');
});
