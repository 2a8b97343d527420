import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { expect, test } from 'vitest';
import { createPackedApp } from './packed-app.ts';

/** What a page loads for all of the client, compressed. */
const MAX_CLIENT_BYTES = 60 * 1024;

test('the client is at most 60 KB compressed', { timeout: 180_000 }, async () => {
  const app = createPackedApp({ install: ['--omit=optional', '--ignore-scripts'] });
  const entry = app.write('entry.js', "export * from 'computesdk/client';");
  const result = await build({
    entryPoints: [entry],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    logLevel: 'error',
  });
  const bytes = gzipSync(result.outputFiles[0]?.contents ?? '').byteLength;
  console.log(`client: ${(bytes / 1024).toFixed(1)} KiB compressed`);
  expect(bytes).toBeGreaterThan(1_000);
  expect(bytes).toBeLessThanOrEqual(MAX_CLIENT_BYTES);
});
