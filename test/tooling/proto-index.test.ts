import { globSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

test('computesdk/proto exports every generated file of the public contract', () => {
  const generated = globSync('gen/computesdk/v1/*.ts').map((path) => `../${path}`);
  const exported = [
    ...readFileSync('proto/index.ts', 'utf8').matchAll(/^export .* from '([^']+)'/gm),
  ];
  expect(exported.map(([, path]) => path).sort()).toEqual(generated.sort());
});
