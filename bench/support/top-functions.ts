import type { Profiler } from 'node:inspector';

export type CpuProfile = Profiler.Profile;

/** The functions that took most time themselves, one a line, with their share. */
export function topOf(
  { nodes, samples = [], timeDeltas = [] }: CpuProfile,
  count: number,
): string[] {
  const byId = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const times = new Map<string, number>();
  let total = 0;
  for (const [index, id] of samples.entries()) {
    const { functionName, url = '', lineNumber = 0 } = byId.get(id) ?? { functionName: '?' };
    const place = url === '' ? '' : ` ${url.split('/').slice(-3).join('/')}:${lineNumber + 1}`;
    const name = `${functionName || '(anonymous)'}${place}`;
    const time = timeDeltas[index] ?? 0;
    times.set(name, (times.get(name) ?? 0) + time);
    total += time;
  }
  return [...times]
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, count)
    .map(([name, time]) => `${((time / total) * 100).toFixed(1).padStart(5)} %  ${name}`);
}
