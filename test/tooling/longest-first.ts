import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Suites that take a minute, those that mostly wait between those that work. One that began last would
 * run on when all others are done.
 */
const LONG = [
  'reader-leases',
  'cut-mutants',
  'liveness',
  'bench',
  'signal-latency',
  'hostile-sandbox',
  'store-kills',
];

/** Starts the longest suites first, as nothing is known of earlier runs in a fresh clone. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => placeOf(a) - placeOf(b));
  }
}

function placeOf({ moduleId }: TestSpecification): number {
  const place = LONG.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
  return place < 0 ? LONG.length : place;
}
