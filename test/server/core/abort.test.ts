import { expect, it } from 'vitest';
import { untilAborted } from '../../../server/core/abort.ts';

it('resolves with the task', async () => {
  await expect(untilAborted(Promise.resolve(7), new AbortController().signal)).resolves.toBe(7);
});

it('rejects at once with the reason of the abort, while the task runs on', async () => {
  const abort = new AbortController();
  const result = untilAborted(new Promise(() => {}), abort.signal);
  abort.abort(new Error('gone'));
  await expect(result).rejects.toThrow('gone');
  await expect(untilAborted(Promise.resolve(), abort.signal)).rejects.toThrow('gone');
});
