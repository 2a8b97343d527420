import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { launchChromium } from '../../test/support/chromium.ts';
import { socketLine } from '../lines/socket-line.ts';
import type { Way } from '../page/page.ts';
import type { Stage } from '../stage.ts';
import { servePage } from '../support/serve-page.ts';
import { median } from '../support/statistics.ts';
import { ECHO } from './echo.ts';
import { catOf, printing } from './throughput.ts';

/** Between two keys of a person, in milliseconds. */
const PACE_MS = 60;

type Result = { readonly name: string; readonly values: number[]; readonly all: number[] };

/** The same echo and the same file in Chromium, against a bare WebSocket in front of node-pty. */
export async function measureBrowser(stage: Stage): Promise<void> {
  const bare = stage.adopt(await socketLine(stage.directory));
  const { access } = await stage.newSandbox();
  await using served = await servePage(join(import.meta.dirname, '..', 'page', 'page.ts'));
  const browser = await launchChromium();
  try {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(served.url);
    const ways = (command: string): readonly Way[] => [
      { name: 'WebSocket + pty', bareUrl: bare.url(command) },
      { name: 'SDK, WebSocket', command, ...access, transport: 'websocket' },
      { name: 'SDK, HTTP', command, ...access, transport: 'http' },
    ];
    await echo(stage, page, ways);
    await throughput(stage, page, ways);
  } finally {
    await browser.close();
  }
}

async function echo(
  { scale, figures }: Stage,
  page: Page,
  ways: (command: string) => readonly Way[],
): Promise<void> {
  const command = `${ECHO.before}; printf '~rea'; printf 'dy~'; ${ECHO.main}`;
  const chosen = ways(command);
  for (const way of chosen) await page.evaluate((it) => globalThis.bench.sit(it), way);
  for (const [how, count, paceMs] of [
    ['one after another', scale.keys, 0],
    ["at a person's pace", scale.slowKeys, PACE_MS],
  ] as const) {
    const results = await rounds(scale.repeats, chosen, ({ name }) =>
      page.evaluate((it) => globalThis.bench.keys(it), { name, count, paceMs }),
    );
    const control = results[0];
    for (const result of results) {
      figures.add({
        ...{ suite: 'browser', what: `key ${how}: ${result.name}`, unit: 'ms' },
        ...{ values: result.values, samples: result.all },
        ...(control && result !== control && { control }),
        ...(result.name === 'SDK, WebSocket' && {
          target: { of: 'ratio', bound: 'at most', limit: 1.8, chase: 1.2 },
        }),
      });
    }
  }
  await page.evaluate(() => globalThis.bench.leave());
}

async function throughput(
  { scale, figures }: Stage,
  page: Page,
  ways: (command: string) => readonly Way[],
): Promise<void> {
  const { before, main } = printing(catOf(scale.megabytes * 1_000_000));
  const command = `${before}; printf '~rea'; printf 'dy~'; ${main}`;
  const results = await rounds(scale.repeats, ways(command), async (way) => [
    await page.evaluate((it) => globalThis.bench.rate(it), way),
  ]);
  const control = results[0];
  for (const { name, values } of results) {
    figures.add({
      ...{ suite: 'browser', what: `cat of a file: ${name}`, unit: 'MB/s', values },
      ...(control && name !== control.name && { control }),
    });
  }
}

async function rounds(
  repeats: number,
  ways: readonly Way[],
  measure: (way: Way) => Promise<number[]>,
): Promise<Result[]> {
  const results = ways.map(({ name }): Result => ({ name, values: [], all: [] }));
  // One round warms up.
  for (const way of ways) await measure(way);
  for (let round = 0; round < repeats; round++) {
    for (const [index, way] of ways.entries()) {
      const taken = await measure(way);
      results[index]?.values.push(median(taken));
      results[index]?.all.push(...taken);
    }
  }
  return results;
}
