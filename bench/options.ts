import { parseArgs } from 'node:util';

export type Options = {
  /** Names of suites. Empty: all. */
  readonly suites: readonly string[];
  readonly isQuick: boolean;
  readonly json: string;
  readonly markdown: string;
  /** A page to put the figures with a target into. */
  readonly page: string | undefined;
};

/** Reads the command line. Returns what to print instead of running. */
export function readOptions(args: readonly string[], names: readonly string[]): Options | string {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string', default: '.bench/results.json' },
      markdown: { type: 'string', default: '.bench/results.md' },
      page: { type: 'string' },
    },
  });
  if (values.help) return help(names);
  const unknown = positionals.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`there is no suite ${unknown}\n${help(names)}`);
  const { quick: isQuick, json, markdown, page } = values;
  return { suites: positionals, isQuick, json, markdown, page };
}

function help(names: readonly string[]): string {
  return [
    'npm run bench -- [suite …] [--quick] [--json <file>] [--markdown <file>] [--page <file>]',
    '',
    'Measures the product, side by side with what it is compared with. Without a suite: all.',
    `Suites: ${names.join(', ')}`,
    '--quick     tiny counts, to see that everything works; the figures say nothing',
    '--json      default .bench/results.json',
    '--markdown  default .bench/results.md; it is printed too',
    '--page      puts the figures with a target into a page, where it says so: README.md',
  ].join('\n');
}
