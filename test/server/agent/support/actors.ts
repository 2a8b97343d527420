import type { Actor } from '../../../../server/core/principal.ts';

/** Somebody who acts as these subjects, the first one foremost. */
export function actor(subject: string, ...others: string[]): Actor {
  return { subject, subjects: [subject, ...others] };
}

export const ALICE = actor('alice');
export const BOB = actor('bob');
