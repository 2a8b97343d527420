import { appendFileSync } from 'node:fs';
import { expect } from 'vitest';
import { seed } from './scale.ts';

/** One row of the soak's table. */
export type ReportRow = {
  readonly test: string;
  /** How often, or how much: the count that `scaled` gave. */
  readonly count: number;
  readonly figures: Readonly<Record<string, number | string>>;
};

/**
 * Prints what a randomized test measured, with the seed that repeats it, and appends it to the file
 * named by `COMPUTESDK_REPORT` (one JSON object a line), from which the soak makes its table.
 */
export function report(row: ReportRow): void {
  const figures = Object.entries(row.figures).map(([name, value]) => `${name} ${show(value)}`);
  process.stdout.write(`${row.test}: ${row.count} (seed ${seed}): ${figures.join(', ')}\n`);
  const path = process.env['COMPUTESDK_REPORT'];
  if (!path) return;
  const { testPath } = expect.getState();
  appendFileSync(path, `${JSON.stringify({ ...row, seed, testPath })}\n`);
}

function show(value: number | string): string {
  if (typeof value === 'string') return value;
  return Number.isInteger(value) ? String(value) : value.toPrecision(3);
}
