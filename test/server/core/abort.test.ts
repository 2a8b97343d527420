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

it('leaves no rejection of the task unhandled when the signal was aborted before', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    const task = Promise.reject(new Error('later'));
    await expect(untilAborted(task, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  } finally {
    process.off('unhandledRejection', note);
  }
});
