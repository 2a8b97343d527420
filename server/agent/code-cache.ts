/** The program of an agent, in the folder of its files: it starts the bundles. */
export const PROGRAM_NAME = 'main.mjs';
/** The bundled agent, beside it. It begins with the first; that loads the others when it needs them. */
export const BUNDLE_NAMES = ['agent.cjs', 'chunk.cjs', 'sandbox-services.cjs'] as const;
/** As the first argument: makes the code cache, instead of being an agent. */
export const MAKE_CODE_CACHE = '--make-code-cache';

/** Of what V8 made of a bundle before, beside it: agents start in four fifths of the time. May be missing. */
export function cacheName(bundleName: string): string {
  return bundleName.replace(/\.cjs$/, '.cache');
}

/** Longer than any mark: what follows lies in the same place for all. */
const MARK_BYTES = 512;
/** For the checksum, in decimal. */
const CHECKSUM_BYTES = 16;
/** A bundle begins with the checksum of its build, as a comment. */
const BUILD_BYTES = 68;
/** As much of a bundle tells it from those of other builds. */
const BUNDLE_HEAD_BYTES = 128;

/** A code cache, and what its checksum was when it was made. */
export type CodeCache = { readonly data: Buffer; readonly checksum: number };

/** The file's content, by which {@link openCodeCache} knows it again. */
export function sealCodeCache(bundle: Uint8Array, { data, checksum }: CodeCache): Buffer {
  const end = Buffer.from(String(checksum).padEnd(CHECKSUM_BYTES));
  return Buffer.concat([mark(bundle, data.length), end, data]);
}

/**
 * What V8 made of this very bundle in this very Node.js; undefined if it is anything else. V8 itself
 * compares no more of a source than its length. Whether the data is whole, the gateway looks when it
 * starts: an agent that did would wait for it. Nothing here is a matter of security: who can write the
 * cache can write the bundle.
 */
export function openCodeCache(bundle: Uint8Array, content: Buffer): CodeCache | undefined {
  const data = content.subarray(MARK_BYTES + CHECKSUM_BYTES);
  if (!content.subarray(0, MARK_BYTES).equals(mark(bundle, data.length))) return;
  const checksum = content.toString('latin1', MARK_BYTES, MARK_BYTES + CHECKSUM_BYTES);
  return { data, checksum: Number(checksum) };
}

/** Whether two bundles were made together. */
export function isSameBuild(one: Buffer, other: Buffer): boolean {
  return one.subarray(0, BUILD_BYTES).equals(other.subarray(0, BUILD_BYTES));
}

function mark(bundle: Uint8Array, dataBytes: number): Buffer {
  const { version, arch } = process;
  const head = Buffer.from(bundle.subarray(0, BUNDLE_HEAD_BYTES)).toString('hex');
  return Buffer.from([version, arch, dataBytes, bundle.length, head].join(' ').padEnd(MARK_BYTES));
}
