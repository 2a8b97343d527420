import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Script } from 'node:vm';
import {
  BUNDLE_NAME,
  CODE_CACHE_NAME,
  MAKE_CODE_CACHE,
  openCodeCache,
  sealCodeCache,
} from './code-cache.ts';

/** Starts the agent from its bundle, or makes its code cache. */

const file = join(import.meta.dirname, BUNDLE_NAME);
const cacheFile = join(import.meta.dirname, CODE_CACHE_NAME);
const bundle = readFileSync(file);
const cachedData = readCache();
const script = new Script(
  `(function (exports, require, module, __filename, __dirname, CODE_CACHE) {${bundle}\n})`,
  { filename: file, ...(cachedData && { cachedData }) },
);

if (process.argv[2] === MAKE_CODE_CACHE) {
  makeCache();
} else {
  run();
}

/** Whatever is wrong with it: without it the agent starts as well, only later. */
function readCache(): Buffer | undefined {
  try {
    return openCodeCache(bundle, readFileSync(cacheFile));
  } catch {
    return;
  }
}

function run(): void {
  const module = { exports: {} };
  const require = createRequire(file);
  const used = cachedData !== undefined && script.cachedDataRejected === false;
  const main: unknown = script.runInThisContext();
  if (typeof main !== 'function') throw new TypeError(`${file} is no module`);
  Reflect.apply(main, module.exports, [
    ...[module.exports, require, module, file, import.meta.dirname],
    used ? 'used' : 'none',
  ]);
}

/**
 * Functions are compiled when they are called first, so the agent is begun: all of its modules load, and
 * then it refuses to start, since it was told nothing of a sandbox.
 */
function makeCache(): void {
  try {
    run();
  } catch {}
  const temporary = `${cacheFile}.${process.pid}`;
  writeFileSync(temporary, sealCodeCache(bundle, script.createCachedData()));
  // Whatever the umask is, users of boxes must be able to read it.
  chmodSync(temporary, 0o644);
  renameSync(temporary, cacheFile);
}
