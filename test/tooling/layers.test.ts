import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LAYER_CASES } from './layer-cases.ts';
import { lint } from './lint.ts';

const files = LAYER_CASES.map(({ path, refused, allowed }) => ({
  path,
  // `export … from` is an import without an unused name.
  text: [...refused, ...allowed].map((module) => `export {} from '${module}';\n`).join(''),
}));
const found = lint(files).filter(({ rule }) => rule === 'lint/style/noRestrictedImports');

test.each(LAYER_CASES)('$path: each forbidden import is refused', ({ path, refused }) => {
  const lines = new Set(found.filter((one) => one.path === path).map(({ line }) => line));
  const slipped = refused.filter((_, index) => !lines.has(index + 1));
  expect(slipped).toEqual([]);
});

test.each(LAYER_CASES)('$path: each allowed import passes', ({ path, refused, allowed }) => {
  const lines = new Set(found.filter((one) => one.path === path).map(({ line }) => line));
  const stopped = allowed.filter((_, index) => lines.has(refused.length + index + 1));
  expect(stopped).toEqual([]);
});

test('every single file that the linter makes an exception for exists', () => {
  const { overrides } = JSON.parse(readFileSync('biome.json', 'utf8')) as {
    overrides: { includes: string[] }[];
  };
  const single = overrides.flatMap(({ includes }) => includes).filter((path) => !/[*{]/.test(path));
  expect(single.filter((path) => !existsSync(path))).toEqual([]);
});

type Violation = { readonly rule: string; readonly path: string; readonly text: string };

const VIOLATIONS: readonly Violation[] = [
  {
    rule: 'lint/suspicious/noImportCycles',
    path: 'server/core/one.ts',
    text: "import { two } from './two.ts';\nexport const one = () => two;\n",
  },
  {
    rule: 'lint/suspicious/noConsole',
    path: 'server/core/talks.ts',
    text: "console.log('hello');\n",
  },
  {
    rule: 'lint/style/noProcessEnv',
    path: 'server/core/environment.ts',
    text: 'export const path = process.env.PATH;\n',
  },
  {
    rule: 'lint/style/noDefaultExport',
    path: 'server/core/default.ts',
    text: 'export default 1;\n',
  },
  {
    rule: 'lint/style/useFilenamingConvention',
    path: 'server/core/camelCase.ts',
    text: 'export const one = 1;\n',
  },
  {
    rule: 'lint/suspicious/noExplicitAny',
    path: 'server/core/loose.ts',
    text: 'export const one: any = 1;\n',
  },
  {
    rule: 'lint/style/noNonNullAssertion',
    path: 'server/core/asserted.ts',
    text: 'export const one = (list: string[]) => list[0]!;\n',
  },
  {
    rule: 'lint/style/noEnum',
    path: 'server/core/enumeration.ts',
    text: 'export enum Colour {\n  RED = 1,\n}\n',
  },
  {
    rule: 'lint/style/noParameterProperties',
    path: 'server/core/property.ts',
    text: 'export class One {\n  constructor(readonly one: number) {}\n}\n',
  },
  {
    rule: 'lint/correctness/useImportExtensions',
    path: 'server/core/extension.ts',
    text: "export { two } from './two';\n",
  },
  {
    rule: 'lint/style/noExcessiveLinesPerFile',
    path: 'server/core/long-file.ts',
    text: 'export {};\n'.repeat(301),
  },
  {
    rule: 'lint/complexity/noExcessiveLinesPerFunction',
    path: 'server/core/long-function.ts',
    text: `export function long(list: number[]) {\n${'  list.pop();\n'.repeat(61)}}\n`,
  },
];

const HELPER = {
  path: 'server/core/two.ts',
  text: "import { one } from './one.ts';\nexport const two = () => one;\n",
};
const ALLOWED = { path: 'server/core/fine.ts', text: 'export const fine = 1;\n' };
const broken = lint([...VIOLATIONS, HELPER, ALLOWED]);

test.each(VIOLATIONS)('$rule fires', ({ rule, path }) => {
  expect(broken.filter((one) => one.path === path).map((one) => one.rule)).toContain(rule);
});

test('a file that breaks no rule passes', () => {
  expect(broken.filter((one) => one.path === ALLOWED.path)).toEqual([]);
});
