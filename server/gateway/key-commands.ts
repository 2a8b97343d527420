import type { Clock } from '../core/clock.ts';
import { DomainError } from '../core/domain-error.ts';
import type { Logger } from '../core/log.ts';
import { AuditLog } from './audit/audit-log.ts';
import { generateSigningKey } from './auth/token-signer.ts';
import type { GatewayConfig } from './config.ts';
import { Store } from './store/store.ts';

export type KeyCommandOptions = {
  readonly config: Pick<GatewayConfig, 'dataDirectory'>;
  readonly clock: Clock;
  readonly logger: Logger;
};

/** Who acts, in the audit log. */
const ACTOR = { actor: 'command line' };

/**
 * Has new session tokens signed with a new key; the older keys go on verifying. A running gateway
 * takes it up within a second. Returns what to tell the person who asked.
 */
export async function rotateSigningKey(options: KeyCommandOptions): Promise<string> {
  await using opened = await open(options);
  const key = await generateSigningKey();
  await opened.store.identity.addSigningKey(key, options.clock.now());
  opened.audit.record({ event: 'signing_key.rotated', subject: key.id, ...ACTOR });
  return `new session tokens are signed with ${key.id}`;
}

/**
 * Destroys a key that leaked, and revokes every session token that it signed. A running gateway ends
 * them within a second. Throws NOT_FOUND.
 */
export async function removeSigningKey(options: KeyCommandOptions, id: string): Promise<string> {
  await using opened = await open(options);
  const { identity } = opened.store;
  const revoked = await identity.removeSigningKey(id, options.clock.now());
  if (revoked === undefined) {
    const known = (await identity.signingKeys()).map((key) => key.id).join(', ');
    throw new DomainError('NOT_FOUND', `there is no signing key ${id}; there is ${known}`);
  }
  opened.audit.record({ event: 'signing_key.removed', subject: id, ...ACTOR });
  return `removed ${id}, revoked ${revoked} session tokens`;
}

async function open({ config, clock, logger }: KeyCommandOptions) {
  const store = await Store.open(config.dataDirectory, { isShared: true });
  const audit = await AuditLog.open({ directory: config.dataDirectory, clock, logger });
  return {
    store,
    audit,
    [Symbol.asyncDispose]: async () => {
      await audit.close();
      await store.close();
    },
  };
}
