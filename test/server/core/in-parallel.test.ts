import { expect, test } from 'vitest';
import { deferred } from '../../../server/core/deferred.ts';
import { inParallel } from '../../../server/core/in-parallel.ts';

test('gives what each task comes to, in their order', async () => {
  const slow = deferred<string>();
  const both = inParallel([slow.promise, Promise.resolve(2)]);
  slow.resolve('one');
  expect(await both).toEqual(['one', 2]);
});

test('fails with what a task failed with, once the others have ended', async () => {
  const slow = deferred<string>();
  let hasFailed = false;
  const both = inParallel([Promise.reject(new Error('too bad')), slow.promise]).catch(
    (error: unknown) => {
      hasFailed = true;
      return error;
    },
  );
  await new Promise(setImmediate);
  expect(hasFailed).toBe(false);
  slow.resolve('one');
  expect(await both).toMatchObject({ message: 'too bad' });
});
