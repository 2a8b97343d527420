import { expect, it } from 'vitest';
import { WatcherRegistry } from '../../../../server/agent/watcher/registry.ts';
import { newId } from '../../../../server/core/id.ts';
import { SCOPES } from '../../../../server/core/principal.ts';
import { FakeClock } from '../../../support/fake-clock.ts';

it('ends a watcher that failed, and tells whoever should know', async () => {
  let fail = () => {};
  const failed: string[] = [];
  const watchers = new WatcherRegistry({
    clock: new FakeClock(),
    bootId: newId('bot'),
    previousBootIds: [],
    paths: { projectPath: '/tmp', projectDirectory: '/tmp' },
    openTree: async (_tree, hooks) => {
      fail = hooks.onFailed;
      return { close: () => {}, difference: () => Promise.reject(new Error('not asked for')) };
    },
    onFailed: (path) => failed.push(path),
  });
  const caller = { id: 'tok', subject: 'tok', subjects: ['tok'], scopes: [...SCOPES] };
  const options = { requestId: '', path: '/tmp', ignored: [], gitignore: false };
  const { facts } = await watchers.create(caller, { ...options, includeContent: false });
  fail();
  expect(failed).toEqual(['/tmp']);
  expect(() => watchers.get(facts.id)).toThrow('has failed');
});
