// Starts the agent from its bundle, or makes its code cache.

import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { crc32 } from 'node:zlib';
import {
  BUNDLE_NAME,
  CODE_CACHE_NAME,
  MAKE_CODE_CACHE,
  openCodeCache,
  sealCodeCache,
} from './code-cache.ts';

const file = join(import.meta.dirname, BUNDLE_NAME);
const cacheFile = join(import.meta.dirname, CODE_CACHE_NAME);
const bundle = readFileSync(file);

if (process.argv[2] === MAKE_CODE_CACHE) makeCache();
else start();

function start(): void {
  const cachedData = readCache();
  const script = compile(cachedData);
  const used = cachedData !== undefined && script.cachedDataRejected === false;
  const main: unknown = script.runInThisContext();
  if (typeof main !== 'function') throw new TypeError(`${file} is no module`);
  const module = { exports: {} };
  Reflect.apply(main, module.exports, [
    ...[module.exports, createRequire(file), module, file, import.meta.dirname],
    used ? 'used' : 'none',
  ]);
}

/** Whatever is wrong with it: without it the agent starts as well, only later. */
function readCache(): Buffer | undefined {
  try {
    return openCodeCache(bundle, readFileSync(cacheFile))?.data;
  } catch {
    return;
  }
}

function makeCache(): void {
  // Functions are compiled when they are called first, and then the cache had next to none of them.
  setFlagsFromString('--no-lazy');
  const script = compile(undefined);
  // V8 takes no cache that was made under other flags.
  setFlagsFromString('--lazy');
  const temporary = `${cacheFile}.${process.pid}`;
  const data = script.createCachedData();
  writeFileSync(temporary, sealCodeCache(bundle, { data, checksum: crc32(data) }));
  // Whatever the umask is, users of boxes must be able to read it.
  chmodSync(temporary, 0o644);
  renameSync(temporary, cacheFile);
}

function compile(cachedData: Buffer | undefined): Script {
  return new Script(
    // The build writes ASCII, and so V8 keeps a byte for a character.
    `(function (exports, require, module, __filename, __dirname, CODE_CACHE) {${bundle.toString('latin1')}\n})`,
    { filename: file, ...(cachedData && { cachedData }) },
  );
}
