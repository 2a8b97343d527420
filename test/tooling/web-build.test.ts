import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SourceCopy } from '../support/source-copy.ts';

test('the page is built when it is missing or older than what it is made from, and only then', async () => {
  using copy = new SourceCopy();
  const isCurrent = async () => {
    const program = `import { isWebCurrent } from './scripts/setup/web-bundle.mjs';
      console.log(isWebCurrent());`;
    const { output } = await copy.run(['--input-type=module', '--eval', program]);
    return output.trim();
  };
  const setUp = async () => (await copy.run(['scripts/setup.mjs', 'start'])).output;
  expect(await isCurrent()).toBe('false');
  expect(await setUp()).toContain('built dist/web/index.html');
  expect(await isCurrent()).toBe('true');
  expect(await setUp()).not.toContain('built');
  const page = readFileSync(join(copy.root, 'dist', 'web', 'index.html'), 'utf8');
  // Nothing that the page's policy refuses.
  expect(page).not.toMatch(/<style|<script>|style=|\son\w+=/);
  for (const file of ['web/style.css', 'web/index.html', 'client/terminal-reader.ts']) {
    const text = readFileSync(join(copy.root, file), 'utf8');
    copy.write(file, `${text}\n`);
    expect([file, await isCurrent()]).toEqual([file, 'false']);
    await copy.run(['scripts/build-web.mjs']);
    expect([file, await isCurrent()]).toEqual([file, 'true']);
  }
});
