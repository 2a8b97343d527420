/**
 * What these tasks come to, when all have ended, also where one failed: who cleans up then meets none of
 * the others. Throws what the first failed with.
 */
export async function inParallel<const T extends readonly Promise<unknown>[]>(
  tasks: T,
): Promise<{ -readonly [Index in keyof T]: Awaited<T[Index]> }> {
  await Promise.allSettled(tasks);
  return Promise.all(tasks);
}
