import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../core/domain-error.ts';
import { SCOPES } from '../../core/principal.ts';
import type { Caller } from './caller.ts';
import type { ApiKeyRecord } from './identity.ts';

/** The file that holds a generated API key, in the data directory. */
const API_KEY_FILE = 'api-key';
/** Random bytes of a generated key. */
const KEY_BYTES = 32;

/** An API key in plain text, and whether this start made it. */
export type LoadedApiKey = {
  readonly text: string;
  readonly file: string;
  readonly created: boolean;
};

/** The generated API key of a data directory; makes it if there is none. The file is for its owner only. */
export async function loadOrCreateApiKey(directory: string): Promise<LoadedApiKey> {
  const file = join(directory, API_KEY_FILE);
  const kept = await readKept(file);
  if (kept !== undefined) return { text: kept, file, created: false };
  const text = `csk_${randomBytes(KEY_BYTES).toString('base64url')}`;
  // Written aside and renamed, so that no start ever finds half a key.
  const draft = await open(`${file}.new`, 'w', 0o600);
  try {
    await draft.writeFile(`${text}\n`);
    await draft.sync();
  } finally {
    await draft.close();
  }
  await rename(`${file}.new`, file);
  return { text, file, created: true };
}

/** The hash under which a key is kept. A key has full entropy, so a slow hash would protect nothing. */
export function hashApiKey(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex');
}

/** Knows the workspace's API key by its hash. */
export class ApiKeyCheck {
  readonly #hash: Buffer;
  readonly #caller: Caller;

  constructor(record: ApiKeyRecord) {
    this.#hash = Buffer.from(record.hash, 'hex');
    this.#caller = {
      kind: 'api_key',
      workspaceId: record.workspaceId,
      principal: { id: record.id, subject: record.id, subjects: [record.id], scopes: SCOPES },
    };
  }

  /** The key's owner if `text` is the key. Takes the same time whatever is wrong with it. */
  callerOf(text: string): Caller | undefined {
    const hash = createHash('sha256').update(text, 'utf8').digest();
    return timingSafeEqual(hash, this.#hash) ? this.#caller : undefined;
  }

  /** The key's owner if this is the key's id. */
  callerOfId(id: string): Caller | undefined {
    return id === this.#caller.principal.id ? this.#caller : undefined;
  }
}

async function readKept(file: string): Promise<string | undefined> {
  try {
    const text = (await readFile(file, 'utf8')).trim();
    if (text === '') {
      throw new DomainError(
        'BAD_SETTING',
        `${file} is empty: delete it, and a new API key is made`,
      );
    }
    await chmod(file, 0o600);
    return text;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
