import { spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { nodePath, repositoryRoot } from './paths.ts';

/** What a gateway and the tests are made of. */
const PARTS = [
  'client',
  'gen',
  'proto',
  'scripts',
  'server',
  'test',
  'package.json',
  'tsconfig.json',
  'vitest.config.ts',
];

/** A change of one file, by exact text, so that a mutant that does not apply any more says so. */
export type Mutation = { readonly file: string; readonly from: string; readonly to: string };

/** A copy of the repository in a temporary directory, for changes that must not be in the product. */
export class SourceCopy implements Disposable {
  readonly root: string;

  constructor() {
    this.root = mkdtempSync(join(tmpdir(), 'computesdk-copy-'));
    for (const part of PARTS)
      cpSync(join(repositoryRoot, part), join(this.root, part), { recursive: true });
    symlinkSync(join(repositoryRoot, 'node_modules'), join(this.root, 'node_modules'));
  }

  /** Applies a change. Throws unless its text is there exactly once. */
  mutate({ file, from, to }: Mutation): void {
    const path = join(this.root, file);
    const text = readFileSync(path, 'utf8');
    if (text.split(from).length !== 2) {
      throw new Error(
        `the mutation does not fit ${file} any more: expected this text exactly once:\n${from}`,
      );
    }
    writeFileSync(
      path,
      text.replace(from, () => to),
    );
  }

  /** Writes a file, in place of one that is there or not. */
  write(file: string, text: string): void {
    mkdirSync(dirname(join(this.root, file)), { recursive: true });
    writeFileSync(join(this.root, file), text);
  }

  /** Bundles the agent of the copy. */
  buildAgent(): void {
    this.run(['scripts/setup.mjs', 'agent']);
  }

  /** Runs Node.js in the copy and returns what it wrote. Throws when it fails. */
  run(args: readonly string[]): string {
    const { status, stdout, stderr } = this.tryRun(args, {});
    if (status !== 0) throw new Error(`${args.join(' ')} failed in the copy:\n${stdout}${stderr}`);
    return stdout;
  }

  /** As {@link run}, but a failure is a result. */
  tryRun(args: readonly string[], env: Readonly<Record<string, string>>) {
    const options = { cwd: this.root, env: { ...process.env, ...env }, encoding: 'utf8' } as const;
    return spawnSync(nodePath, args, options);
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
