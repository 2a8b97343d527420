// Starts the agent from its bundles, or makes their code caches.

import { chmodSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { Script } from 'node:vm';
import { crc32 } from 'node:zlib';
import {
  BUNDLE_NAMES,
  cacheName,
  isSameBuild,
  MAKE_CODE_CACHE,
  openCodeCache,
  sealCodeCache,
} from './code-cache.ts';

type Bundle = { readonly file: string; readonly source: Buffer };
type Module = { exports: unknown };

const directory = import.meta.dirname;
const [entry] = BUNDLE_NAMES;
const first = readBundle(entry);
const modules = new Map<string, Module>();
let codeCache: 'used' | 'none' = 'used';

if (process.argv[2] === MAKE_CODE_CACHE) for (const name of BUNDLE_NAMES) makeCache(name);
else load(entry);

/** What a bundle exports. It is loaded when something needs it. */
function load(name: string): unknown {
  const known = modules.get(name);
  if (known) return known.exports;
  const bundle = name === entry ? first : readBundle(name);
  // Made anew since this process began.
  if (!isSameBuild(first.source, bundle.source))
    throw new Error(`${bundle.file} is of another build`);
  const cachedData = readCache(name, bundle);
  const script = compile(bundle, cachedData);
  if (cachedData === undefined || script.cachedDataRejected !== false) codeCache = 'none';
  const main: unknown = script.runInThisContext();
  if (typeof main !== 'function') throw new TypeError(`${bundle.file} is no module`);
  const module: Module = { exports: {} };
  modules.set(name, module);
  const values = [module.exports, find, module, bundle.file, directory, () => codeCache];
  Reflect.apply(main, module.exports, values);
  return module.exports;
}

/** `require` as bundles see it. */
function find(id: string): unknown {
  return id.startsWith('./') ? load(basename(id)) : createRequire(join(directory, entry))(id);
}

function readBundle(name: string): Bundle {
  const file = join(directory, name);
  return { file, source: readFileSync(file) };
}

/** Whatever is wrong with it: without it the agent starts as well, only later. */
function readCache(name: string, { source }: Bundle): Buffer | undefined {
  try {
    return openCodeCache(source, readFileSync(join(directory, cacheName(name))))?.data;
  } catch {
    return;
  }
}

function makeCache(name: string): void {
  const bundle = readBundle(name);
  // Functions are compiled when they are called first, and then the cache had next to none of them.
  setFlagsFromString('--no-lazy');
  const script = compile(bundle, undefined);
  // V8 takes no cache that was made under other flags.
  setFlagsFromString('--lazy');
  const cacheFile = join(directory, cacheName(name));
  const temporary = `${cacheFile}.${process.pid}`;
  const data = script.createCachedData();
  writeFileSync(temporary, sealCodeCache(bundle.source, { data, checksum: crc32(data) }));
  // Whatever the umask is, users of boxes must be able to read it.
  chmodSync(temporary, 0o644);
  renameSync(temporary, cacheFile);
}

function compile({ file, source }: Bundle, cachedData: Buffer | undefined): Script {
  return new Script(
    // The build writes ASCII, and so V8 keeps a byte for a character.
    `(function (exports, require, module, __filename, __dirname, CODE_CACHE) {${source.toString('latin1')}\n})`,
    { filename: file, ...(cachedData && { cachedData }) },
  );
}
