import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { IgnoreMatcher } from '../../../../server/agent/watcher/ignore-matcher.ts';

const directory = mkdtempSync(join(tmpdir(), 'ignore-'));
afterAll(() => rmSync(directory, { recursive: true }));

const matcherOf = (ignored: string[], gitignore = false) =>
  new IgnoreMatcher({ ignored, gitignore }, { apiPath: '/project/app', directory });

describe('what is ignored', () => {
  it.each([
    ['node_modules', ['node_modules', 'a/node_modules'], ['node_modules2', 'a/node_modules.txt']],
    ['*.log', ['a.log', 'a/b.log', '.log'], ['a.log.txt', 'log']],
    ['src/**/*.tmp', ['src/a.tmp', 'src/a/b/.c.tmp'], ['a.tmp', 'lib/src/a.tmp']],
    ['./dist', ['dist'], ['a/dist']],
    ['src/gen', ['src/gen'], ['gen', 'a/src/gen']],
    ['/project/app/src/gen', ['src/gen'], ['gen', 'project/app/src/gen']],
    ['/elsewhere/**', [], ['elsewhere/a']],
    ['größe', ['größe', 'a/größe'], ['grosse']],
    ['{a,b}.txt', ['a.txt', 'c/b.txt'], ['c.txt']],
  ])('by %s', (pattern, left, kept) => {
    const matcher = matcherOf([pattern]);
    expect(left.filter((path) => !matcher.matches(path, false))).toEqual([]);
    expect([...kept, ''].filter((path) => matcher.matches(path, false))).toEqual([]);
  });

  it('is a directory only, for a pattern that ends in a slash', () => {
    const matcher = matcherOf(['build/']);
    expect(matcher.matches('a/build', true)).toBe(true);
    expect(matcher.matches('a/build', false)).toBe(false);
    expect(matcher.matches('a/build', undefined)).toBe(false);
  });

  it('is what the .gitignore files say, the deeper one first, and .git', () => {
    mkdirSync(join(directory, 'inner'), { recursive: true });
    writeFileSync(join(directory, '.gitignore'), '*.log\n/only-here\nout/\n');
    writeFileSync(join(directory, 'inner', '.gitignore'), '!kept.log\n');
    const matcher = matcherOf([], true);
    const left = [
      ...['a.log', 'inner/a.log', 'only-here', '.git', 'inner/.git'],
      ...['inner/only-here', 'inner/kept.log', 'out'],
    ].filter((path) => matcher.matches(path, false));
    expect(left).toEqual(['a.log', 'inner/a.log', 'only-here', '.git', 'inner/.git']);
    expect(matcher.matches('out', true)).toBe(true);
    writeFileSync(join(directory, '.gitignore'), '');
    expect(matcher.isRuleFile('inner/.gitignore')).toBe(true);
    matcher.forgetRuleFiles();
    expect(matcher.matches('a.log', false)).toBe(false);
  });

  it('is never a pseudo file system, watched from the root', () => {
    const matcher = new IgnoreMatcher(
      { ignored: [], gitignore: false },
      { apiPath: '/', directory: '/' },
    );
    expect(['proc', 'sys', 'dev'].every((path) => matcher.matches(path, true))).toBe(true);
    expect(matcher.matches('home/proc', true)).toBe(false);
  });
});
