import { execFile } from 'node:child_process';
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
  'frames',
  'gen',
  'proto',
  'scripts',
  'server',
  'test',
  'web',
  'package.json',
  'package-lock.json',
  'tsconfig.json',
  'vitest.config.ts',
];

/** A change of one file, by exact text, so that a mutant that does not apply any more says so. */
export type Mutation = { readonly file: string; readonly from: string; readonly to: string };

/** How a program ended, and all that it wrote. */
export type RunResult = { readonly status: number; readonly output: string };

const MAX_OUTPUT_BYTES = 16 * 1024 * 1024;

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
  async buildAgent(): Promise<void> {
    const { status, output } = await this.run(['scripts/setup.mjs', 'agent']);
    if (status !== 0) throw new Error(`the agent of the copy could not be built:\n${output}`);
  }

  /** Runs Node.js in the copy. A failure is a result. */
  run(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<RunResult> {
    const options = {
      cwd: this.root,
      env: { ...process.env, ...env },
      maxBuffer: MAX_OUTPUT_BYTES,
    };
    return new Promise((resolve) => {
      execFile(nodePath, args, options, (error, stdout, stderr) => {
        const status = error ? Number(error.code) : 0;
        resolve({ status, output: `${stdout}\n${stderr}` });
      });
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true, force: true });
  }
}
