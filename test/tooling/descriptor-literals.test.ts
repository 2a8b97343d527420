import { globSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { clone, type DescFile } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { build, type Metafile, type Plugin } from 'esbuild';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

/** Declares the options that literals leave out. */
const OPTIONS = 'gen/computesdk/v1/access_pb.ts';
const modules = globSync('gen/**/*_pb.ts').filter((path) => path !== OPTIONS);

type Exports = Readonly<Record<string, unknown>>;

let folder: string;
let bundled: Exports;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'literals-'));
  const literals = await loadScript();
  const outfile = join(folder, 'all.mjs');
  const contents = modules.map((path) => `export * from ${JSON.stringify(resolve(path))};\n`);
  const { metafile } = await build({
    ...{ stdin: { contents: contents.join(''), resolveDir: folder }, outfile, metafile: true },
    ...{ bundle: true, format: 'esm', platform: 'node', logLevel: 'error' },
    plugins: [literals.descriptorLiterals],
  });
  literals.checkLiterals(metafile);
  bundled = await import(pathToFileURL(outfile).href);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a bundle that asks for options is refused', async () => {
  const { descriptorLiterals, checkLiterals } = await loadScript();
  const { metafile } = await build({
    ...{ entryPoints: [OPTIONS], outdir: folder, write: false, metafile: true },
    ...{ bundle: true, format: 'esm', platform: 'node', logLevel: 'error' },
    plugins: [descriptorLiterals],
  });
  expect(() => checkLiterals(metafile)).toThrow('boot.js');
});

describe.each(modules)('%s, described by a literal', (path) => {
  let file: DescFile;
  let literal: DescFile;
  beforeAll(async () => {
    const exports: Exports = await import(resolve(path));
    const name = Object.keys(exports).find((key) => key.startsWith('file_')) ?? '';
    file = exports[name] as DescFile; // What generated code exports under such a name.
    literal = bundled[name] as DescFile; // As above.
  });

  test('is the same file, but for options of methods', () => {
    const expected = clone(FileDescriptorProtoSchema, file.proto);
    for (const { method: methods } of expected.service)
      for (const { options } of methods) delete options?.$unknown;
    expected.dependency = expected.dependency.filter(
      (name) => name !== 'computesdk/v1/access.proto',
    );
    expect(unfold(literal.proto)).toEqual(unfold(expected));
  });

  test('has the same messages, enumerations and services', () => {
    expect(summary(literal)).toEqual(summary(file));
    expect(summary(file).length).toBeGreaterThan(0);
  });
});

type Script = {
  readonly descriptorLiterals: Plugin;
  readonly checkLiterals: (metafile: Metafile) => void;
};

/** Scripts are not typed. */
function loadScript(): Promise<Script> {
  return import(resolve('scripts/setup/descriptor-literals.mjs'));
}

/** A message with what it inherits: its defaults, by which what is set is told apart. */
function unfold(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unfold);
  if (typeof value !== 'object' || value === null) return value;
  const fields: Record<string, unknown> = { set: Object.keys(value).sort() };
  for (const name in value) fields[name] = unfold(Reflect.get(value, name));
  return fields;
}

/** What is described, with names in the place of what belongs to it. */
function summary(file: DescFile): string[] {
  return [...nestedTypes(file)].map((type) =>
    JSON.stringify(type, (key, value: unknown) => {
      if (['proto', 'file', 'parent', 'oneof'].includes(key)) return undefined;
      if (typeof value === 'bigint') return String(value);
      const isOther = typeof value === 'object' && value !== null && value !== type;
      return isOther && 'typeName' in value ? value.typeName : value;
    }),
  );
}
