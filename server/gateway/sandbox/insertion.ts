import { DomainError } from '../../core/domain-error.ts';
import type { Insertion, Sandbox } from './sandbox.ts';

/** Sandboxes that there may be at once, those being destroyed included. Above it creation fails with LIMIT_REACHED. */
export const MAX_SANDBOXES = 1000;

/** The sandbox that an insertion came to. Throws DESTROYED or LIMIT_REACHED. */
export function sandboxOf(insertion: Insertion): Sandbox {
  switch (insertion.kind) {
    case 'created':
    case 'repeated':
    case 'found':
      return insertion.sandbox;
    case 'gone':
      throw new DomainError(
        'DESTROYED',
        'requestId: the sandbox that this request made was destroyed',
        {
          field: 'requestId',
        },
      );
    case 'limit':
      throw new DomainError(
        'LIMIT_REACHED',
        `there are ${MAX_SANDBOXES} sandboxes, the most there can be: destroy some`,
      );
    case 'no_uid':
      throw new DomainError(
        'LIMIT_REACHED',
        'no host uid is free for another sandbox: destroy some, or widen COMPUTESDK_UID_RANGE',
      );
  }
}
