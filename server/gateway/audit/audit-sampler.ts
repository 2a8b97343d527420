import type { AuditEvent } from '../../core/audit.ts';
import type { Clock } from '../../core/clock.ts';
import { RateLimit } from '../../core/rate-limit.ts';

/** How long a token, or an address that sends forged credentials, is silent after a line about it, in milliseconds. */
const SAMPLE_MS = 60_000;
/** Tokens and addresses remembered. Above it those unused for longest may get a line too early. */
const MAX_SAMPLED = 10_000;
/** Lines about refusals at once, whoever caused them: many addresses must not push out what matters. */
const REFUSAL_BURST = 500;
/** How many of these lines come back in a second. */
const REFUSALS_PER_SECOND = 5;

/** Decides which refusals get a line: anybody can cause any number of them. */
export class AuditSampler {
  readonly #bySubject: RateLimit;
  readonly #total: RateLimit;

  constructor(clock: Clock) {
    const perSecond = 1000 / SAMPLE_MS;
    this.#bySubject = new RateLimit({ burst: 1, perSecond, maxKeys: MAX_SAMPLED, clock });
    this.#total = new RateLimit({
      burst: REFUSAL_BURST,
      perSecond: REFUSALS_PER_SECOND,
      maxKeys: 2,
      clock,
    });
  }

  /** Whether an event gets a line. All but refusals do. */
  admits(event: AuditEvent): boolean {
    switch (event.event) {
      case 'session_token.refused':
      case 'magic_link.refused':
      case 'api_key.refused': {
        const who = event.subject ?? event.address ?? '';
        return this.#bySubject.take(`${event.event} ${who}`) === 0 && this.#total.take('') === 0;
      }
      default:
        return true;
    }
  }
}
