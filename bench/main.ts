// Measures the product, side by side with what it is compared with: `npm run bench -- --help`.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Figures } from './figures.ts';
import { describeMachine } from './machine.ts';
import { readOptions } from './options.ts';
import { putInto, toJson, toMarkdown } from './report.ts';
import { FULL, QUICK } from './scale.ts';
import { Stage } from './stage.ts';
import { measureBrowser } from './suites/browser.ts';
import { measureCalls } from './suites/calls.ts';
import { measureEcho } from './suites/echo.ts';
import { measureFlood } from './suites/flood.ts';
import { measureGrowth } from './suites/growth.ts';
import { measureIdle } from './suites/idle.ts';
import { measureReconnect } from './suites/reconnect.ts';
import { measureStarts } from './suites/starts.ts';
import { measureTerminals } from './suites/terminals.ts';
import { measureThroughput } from './suites/throughput.ts';

const SUITES: Readonly<Record<string, (stage: Stage) => Promise<void>>> = {
  echo: measureEcho,
  throughput: measureThroughput,
  browser: measureBrowser,
  flood: measureFlood,
  starts: measureStarts,
  calls: measureCalls,
  reconnect: measureReconnect,
  terminals: measureTerminals,
  growth: measureGrowth,
  idle: measureIdle,
};

const options = readOptions(process.argv.slice(2), Object.keys(SUITES));
if (typeof options === 'string') console.log(options);
else await run(options);

async function run({ suites, isQuick, json, markdown, page }: Exclude<typeof options, string>) {
  const machine = describeMachine();
  const figures = new Figures((line) => console.error(line));
  for (const [name, measure] of Object.entries(SUITES)) {
    if (suites.length > 0 && !suites.includes(name)) continue;
    // A gateway of its own for each: what one leaves must not weigh on the next.
    await using stage = await Stage.open(isQuick ? QUICK : FULL, figures);
    await measure(stage);
  }
  const table = toMarkdown(machine, figures.all);
  console.log(table);
  write(markdown, table);
  write(json, toJson(machine, figures.all));
  if (page) write(page, putInto(readFileSync(page, 'utf8'), machine, figures.all));
}

function write(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}
