import { crc32 } from 'node:zlib';

/** The program of an agent, in the folder of its files: it starts the bundle. */
export const PROGRAM_NAME = 'main.mjs';
/** The bundled agent, beside it. */
export const BUNDLE_NAME = 'agent.cjs';
/** What V8 made of the bundle before, beside it: agents start in four fifths of the time. May be missing. */
export const CODE_CACHE_NAME = 'agent.cache';
/** As the first argument: makes the code cache, instead of being an agent. */
export const MAKE_CODE_CACHE = '--make-code-cache';

/** Longer than any header: what follows lies in the same place for all. */
const HEADER_BYTES = 128;

/** The file's content: what V8 made of the bundle, and by what {@link openCodeCache} knows it again. */
export function sealCodeCache(bundle: Uint8Array, data: Uint8Array): Buffer {
  return Buffer.concat([header(bundle, data), data]);
}

/**
 * What V8 made of this very bundle in this very Node.js; undefined if it is anything else. V8 itself
 * compares no more of a source than its length, and takes what is broken for whole. Nothing here is a
 * matter of security: who can write the cache can write the bundle.
 */
export function openCodeCache(bundle: Uint8Array, content: Buffer): Buffer | undefined {
  const data = content.subarray(HEADER_BYTES);
  return content.subarray(0, HEADER_BYTES).equals(header(bundle, data)) ? data : undefined;
}

function header(bundle: Uint8Array, data: Uint8Array): Buffer {
  const { version, arch } = process;
  const marks = [bundle.length, crc32(bundle), data.length, crc32(data), arch, version];
  return Buffer.from(marks.join(' ').padEnd(HEADER_BYTES));
}
