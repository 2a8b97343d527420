import type { Principal } from '../../core/principal.ts';

/** Whoever makes a call, as their credential proves it. */
export type Caller =
  | {
      readonly kind: 'api_key';
      /** The workspace whose sandboxes the key controls. */
      readonly workspaceId: string;
      readonly principal: Principal;
    }
  | {
      readonly kind: 'session_token';
      /** The one sandbox that the token opens. */
      readonly sandboxId: string;
      /** When the token ends, in milliseconds since the epoch. A live call ends with it. */
      readonly expiresAt: number;
      readonly principal: Principal;
    };
