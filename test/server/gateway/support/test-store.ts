import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { Store } from '../../../../server/gateway/store/store.ts';

/** A directory of its own, removed when the test ends. */
export async function testDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'computesdk-store-'));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

/** A store in `directory`, or in one of its own, closed when the test ends. */
export async function testStore(directory?: string): Promise<Store> {
  const store = await Store.open(directory ?? (await testDirectory()));
  onTestFinished(() => store.close());
  return store;
}
