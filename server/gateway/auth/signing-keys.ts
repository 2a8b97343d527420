import { type AuditTrail, SYSTEM_ACTOR } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import type { IdentityStore, KeptSigningKey } from './identity.ts';
import { EXPIRES_IN } from './session-tokens.ts';
import { generateSigningKey, type TokenSigner } from './token-signer.ts';

/** How long a key signs new tokens, in milliseconds. */
export const SIGNING_KEY_AGE_MS = 30 * 24 * 60 * 60_000;
/** How long a key is kept at most: until the last token that it can have signed has ended. */
const MAX_KEY_AGE_MS = SIGNING_KEY_AGE_MS + EXPIRES_IN.maxMs + 24 * 60 * 60_000;

export type SigningKeysOptions = {
  readonly store: IdentityStore;
  readonly signer: TokenSigner;
  readonly audit: AuditTrail;
  readonly clock: Clock;
};

/**
 * Gives the signer its keys: a new one every month, and the older ones for as long as tokens of
 * theirs can live. What another process added or removed counts too.
 */
export class SigningKeys {
  readonly #options: SigningKeysOptions;
  /** Ids of the keys in use, newest first. */
  #ids = '';
  #work: Promise<void> = Promise.resolve();

  constructor(options: SigningKeysOptions) {
    this.#options = options;
  }

  /** Reads the keys anew; makes one where the newest is too old or gone, and destroys what is too old to matter. */
  refresh(): Promise<void> {
    const work = this.#work.then(() => this.#refresh());
    this.#work = work.catch(() => {});
    return work;
  }

  async #refresh(): Promise<void> {
    const { store, signer, clock } = this.#options;
    const now = clock.now();
    let keys = await store.signingKeys();
    const [newest] = keys;
    if (!newest || newest.createdAt <= now - SIGNING_KEY_AGE_MS) {
      await this.#add(now);
      keys = await store.signingKeys();
    }
    const kept = await this.#dropOld(keys, now);
    const ids = kept.map(({ id }) => id).join(' ');
    if (ids === this.#ids) return;
    await signer.useKeys(kept);
    this.#ids = ids;
  }

  async #add(now: number): Promise<void> {
    const { store, audit } = this.#options;
    const key = await generateSigningKey();
    await store.addSigningKey(key, now);
    audit.record({ event: 'signing_key.rotated', subject: key.id, ...SYSTEM_ACTOR });
  }

  async #dropOld(keys: readonly KeptSigningKey[], now: number): Promise<readonly KeptSigningKey[]> {
    const { store, audit } = this.#options;
    const [newest, ...older] = keys;
    const old = older.filter(({ createdAt }) => createdAt <= now - MAX_KEY_AGE_MS);
    for (const { id } of old) {
      await store.removeSigningKey(id, now);
      audit.record({ event: 'signing_key.removed', subject: id, ...SYSTEM_ACTOR });
    }
    return newest ? [newest, ...older.filter((key) => !old.includes(key))] : [];
  }
}
