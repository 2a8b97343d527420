import { randomBytes } from 'node:crypto';
import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Authenticator } from './authenticator.ts';
import type { Caller } from './caller.ts';
import { hashSecret, isSecret } from './link-secrets.ts';
import type { PreviewPass, PreviewPassStore, PreviewPort } from './preview-pass.ts';

/** How long an address of a preview can be opened first, in milliseconds. */
export const TICKET_LIFE_MS = 60_000;
/** Addresses of one sandbox's previews that can be opened. Above it creation fails with LIMIT_REACHED. */
export const MAX_LIVE_TICKETS = 1000;
/** How long a preview that an API key opened stays open, in milliseconds. One of a token ends with the token. */
export const KEY_PREVIEW_MS = 24 * 60 * 60_000;
/** Browsers that one sandbox's previews are open in. Above it the oldest one has to be let in anew. */
export const MAX_PREVIEW_COOKIES = 10_000;
/** Cookies remembered. Above it the one read longest ago is forgotten and read anew. */
const MAX_KNOWN = 20_000;
/** 256 bits. */
const SECRET_BYTES = 32;

export type PreviewsOptions = {
  readonly store: PreviewPassStore;
  /** Knows what session tokens and API keys are worth. */
  readonly bearer: Pick<Authenticator, 'callerOfId' | 'assertStillValid'>;
  readonly clock: Clock;
};

/** Who looks at a preview. */
export type PreviewViewer = { readonly caller: Caller; readonly expiresAt: number };

/** Lets browsers into previews: makes tickets, turns them into cookies, knows those again. */
export class Previews {
  readonly #options: PreviewsOptions;
  /** By the cookie's text. */
  readonly #known = new Map<string, PreviewPass & PreviewViewer>();

  constructor(options: PreviewsOptions) {
    this.#options = options;
  }

  /** Makes a ticket for a caller who may see the sandbox's previews. A secret. Throws LIMIT_REACHED. */
  async createTicket(
    caller: Caller,
    { sandboxId, port }: PreviewPort,
  ): Promise<{ ticket: string; expiresAt: number }> {
    const ticket = newSecret();
    const now = this.#options.clock.now();
    const expiresAt = now + TICKET_LIFE_MS;
    const accessExpiresAt =
      caller.kind === 'session_token' ? caller.expiresAt : now + KEY_PREVIEW_MS;
    const isKept = await this.#options.store.insertTicket(
      { sandboxId, port, principalId: caller.principal.id, accessExpiresAt },
      { hash: hashSecret(ticket), expiresAt, now, liveLimit: MAX_LIVE_TICKETS },
    );
    if (isKept) return { ticket, expiresAt };
    throw new DomainError(
      'LIMIT_REACHED',
      `${MAX_LIVE_TICKETS} preview addresses of the sandbox wait to be opened, the most there can be: each ends within a minute`,
      { retryAfterMs: TICKET_LIFE_MS },
    );
  }

  /** Turns a ticket of this very port into a cookie, once. Undefined: it is worth nothing, or nothing any more. */
  async redeem(
    ticket: string,
    at: PreviewPort,
  ): Promise<{ cookie: string; expiresAt: number } | undefined> {
    if (!isSecret(ticket)) return undefined;
    const cookie = newSecret();
    const pass = await this.#options.store.useTicket({
      ...{ sandboxId: at.sandboxId, port: at.port, now: this.#options.clock.now() },
      ticketHash: hashSecret(ticket),
      cookieHash: hashSecret(cookie),
      cookieLimit: MAX_PREVIEW_COOKIES,
    });
    // The credential may have ended since it asked for the ticket.
    const viewer = pass && (await this.viewerOf([cookie], at));
    return viewer && { cookie, expiresAt: viewer.expiresAt };
  }

  /** Who looks at a port with one of these cookies. Undefined: nobody who may. */
  async viewerOf(cookies: readonly string[], at: PreviewPort): Promise<PreviewViewer | undefined> {
    for (const cookie of cookies) {
      const viewer = this.#knownViewer(cookie, at) ?? (await this.#read(cookie, at));
      if (viewer) return viewer;
    }
    return undefined;
  }

  /** A credential or a sandbox ended: what was remembered is checked anew. */
  forget(id: string): void {
    for (const [cookie, { principalId, sandboxId }] of this.#known) {
      if (principalId === id || sandboxId === id) this.#known.delete(cookie);
    }
  }

  /** Forgets what has expired. */
  purge(): Promise<void> {
    return this.#options.store.purge(this.#options.clock.now());
  }

  #knownViewer(cookie: string, at: PreviewPort): PreviewViewer | undefined {
    const known = this.#known.get(cookie);
    if (!known || !isFor(known, at)) return undefined;
    if (known.expiresAt > this.#options.clock.now()) return known;
    this.#known.delete(cookie);
    return undefined;
  }

  async #read(cookie: string, at: PreviewPort): Promise<PreviewViewer | undefined> {
    if (!isSecret(cookie)) return undefined;
    const { store, bearer, clock } = this.#options;
    const pass = await store.findCookie(hashSecret(cookie));
    if (!pass || !isFor(pass, at) || pass.accessExpiresAt <= clock.now()) return undefined;
    try {
      const caller = await bearer.callerOfId(pass.principalId, clock.now());
      // Sees an end that came while the record was being read.
      bearer.assertStillValid(caller, clock.now());
      const viewer = { caller, expiresAt: pass.accessExpiresAt };
      this.#remember(cookie, { ...pass, ...viewer });
      return viewer;
    } catch (error) {
      if (error instanceof DomainError && error.reason !== 'INTERNAL') return undefined;
      throw error;
    }
  }

  #remember(cookie: string, viewer: PreviewPass & PreviewViewer): void {
    const [oldest] = this.#known.keys();
    if (this.#known.size >= MAX_KNOWN && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(cookie, viewer);
  }
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

function isFor(pass: PreviewPort, at: PreviewPort): boolean {
  return pass.sandboxId === at.sandboxId && pass.port === at.port;
}
