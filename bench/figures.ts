import { median, quantile } from './support/statistics.ts';

/** What a figure should be. */
export type Target = {
  /** What is compared: the median, the ratio to the control, or the 99th percentile of all samples. */
  readonly of: 'median' | 'p99' | 'ratio';
  readonly bound: 'at least' | 'at most';
  readonly limit: number;
  /** What we would like it to be. */
  readonly chase?: number;
};

/** What was measured, before it is summed up. */
export type Measurement = {
  readonly suite: string;
  readonly what: string;
  readonly unit: string;
  /** One value for each repeat. */
  readonly values: readonly number[];
  /** What the values were made from, of all repeats. */
  readonly samples?: readonly number[];
  /** The same by other means, with the values of the same repeats. */
  readonly control?: { readonly name: string; readonly values: readonly number[] };
  readonly target?: Target;
};

/** What was measured, summed up. */
export type Figure = Omit<Measurement, 'samples' | 'control'> & {
  readonly median: number;
  readonly quartiles: readonly [number, number];
  readonly count: number;
  readonly p95: number;
  readonly p99: number;
  /** Median of the ratios within each repeat. */
  readonly ratio?: { readonly to: string; readonly median: number };
  readonly isMet?: boolean;
};

/** Collects what was measured, and says each figure as it is known. */
export class Figures {
  readonly all: Figure[] = [];
  readonly #say: (line: string) => void;

  constructor(say: (line: string) => void) {
    this.#say = say;
  }

  add(measurement: Measurement): void {
    const figure = sumUp(measurement);
    this.all.push(figure);
    const { suite, what, unit, ratio } = figure;
    const compared = ratio ? `, ${brief(ratio.median)} × ${ratio.to}` : '';
    this.#say(`${suite}: ${what}: ${brief(figure.median)} ${unit}${compared}`);
  }
}

/** Three digits are more than these figures are good for. */
export function brief(value: number): string {
  return Math.abs(value) >= 1000
    ? Math.round(value).toLocaleString('en')
    : String(Number(value.toPrecision(3)));
}

function sumUp({ samples, control, ...rest }: Measurement): Figure {
  const { values, target } = rest;
  const all = samples ?? values;
  const ratio = control && {
    to: control.name,
    median: median(values.map((value, index) => value / (control.values[index] ?? Number.NaN))),
  };
  const figure: Figure = {
    ...rest,
    median: median(values),
    quartiles: [quantile(values, 0.25), quantile(values, 0.75)],
    count: all.length,
    p95: quantile(all, 0.95),
    p99: quantile(all, 0.99),
    ...(ratio && { ratio }),
  };
  if (!target) return figure;
  const reached = target.of === 'ratio' ? (ratio?.median ?? Number.NaN) : figure[target.of];
  const isMet = target.bound === 'at least' ? reached >= target.limit : reached <= target.limit;
  return { ...figure, isMet };
}
