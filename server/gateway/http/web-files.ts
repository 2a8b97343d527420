import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';

/** A file that is served as it is. */
export type WebFile = { readonly bytes: Buffer; readonly contentType: string };

/** The built workspace page, in memory. */
export type WebFiles = {
  readonly index: WebFile;
  /** By file name, which holds a hash of the content. */
  readonly assets: ReadonlyMap<string, WebFile>;
};

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** Where the build puts the page: in `dist/` of the sources, and beside us in the tarball's `dist/`. */
export function webDirectory(): string {
  const above = join(import.meta.dirname, '..', '..', '..');
  const isSource = existsSync(join(above, 'package.json'));
  return isSource ? join(above, 'dist', 'web') : join(above, 'web');
}

/** Reads the built page. Undefined when it was not built, whole. */
export async function readWebFiles(directory: string): Promise<WebFiles | undefined> {
  try {
    const names = await readdir(join(directory, 'assets'));
    const assets = await Promise.all(
      names.map(
        async (name) => [name, await readWebFile(join(directory, 'assets', name))] as const,
      ),
    );
    return { index: await readWebFile(join(directory, 'index.html')), assets: new Map(assets) };
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function readWebFile(path: string): Promise<WebFile> {
  const contentType = CONTENT_TYPES[extname(path)] ?? 'application/octet-stream';
  return { bytes: await readFile(path), contentType };
}
