import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';

export type SourceFile = { readonly path: string; readonly text: string };
export type Finding = { readonly rule: string; readonly path: string; readonly line: number };

/** The command of a package in node_modules. */
export function command(name: string): string {
  return resolve('node_modules', '.bin', name);
}

/** What the linter finds, with the repository's configuration, in a tree of these files only. */
export function lint(files: readonly SourceFile[]): Finding[] {
  const directory = mkdtempSync(join(tmpdir(), 'lint-'));
  try {
    copyFileSync('biome.json', join(directory, 'biome.json'));
    for (const { path, text } of files) {
      mkdirSync(dirname(join(directory, path)), { recursive: true });
      writeFileSync(join(directory, path), text);
    }
    const options = ['--vcs-enabled=false', '--reporter=json', '--max-diagnostics=none'];
    const { stdout } = spawnSync(command('biome'), ['lint', ...options, '.'], {
      cwd: directory,
      encoding: 'utf8',
    });
    // The reporter's format, as far as it is read here; anything else fails the tests.
    const { diagnostics } = JSON.parse(stdout) as {
      diagnostics: { category: string; location: { path: string; start?: { line: number } } }[];
    };
    return diagnostics.map(({ category, location }) => ({
      rule: category,
      path: location.path,
      line: location.start?.line ?? 0,
    }));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
