/** Who acted, as the audit log names them. */
export type AuditActor = {
  /** Id of an API key or session token; `system` for what the gateway does by itself. */
  readonly actor: string;
  /** The client's IP address, where a request caused the event. */
  readonly address?: string;
  /** The web origin of the page that made the request. */
  readonly origin?: string;
};

/** What a request tells of its client, for the audit log. */
export type AuditClient = Omit<AuditActor, 'actor'>;

/** Everything that the audit log knows. Ids only, never a secret. */
export type AuditEvent = AuditActor &
  (
    | {
        readonly event:
          | 'session_token.created'
          | 'session_token.revoked'
          | 'session_token.refreshed'
          | 'magic_link.created'
          | 'magic_link.used'
          | 'magic_link.revoked';
        readonly sandboxId: string;
        /** Id of the token or link. */
        readonly subject: string;
        /** Id of what came of it: the token of a used link, the token that a refreshed one became. */
        readonly result?: string;
      }
    | {
        readonly event: 'session_token.revoked_all';
        readonly sandboxId: string;
        readonly count: number;
      }
    | {
        /** Sampled: see `AuditSampler`. */
        readonly event: 'session_token.refused' | 'magic_link.refused' | 'api_key.refused';
        readonly reason: string;
        readonly sandboxId?: string;
        /** Absent for what is forged or unknown. */
        readonly subject?: string;
      }
    | {
        readonly event: 'sandbox.created' | 'sandbox.destroyed' | 'sandbox.expired';
        readonly sandboxId: string;
      }
    | {
        readonly event: 'browser.signed_in' | 'browser.signed_out';
        readonly sandboxId?: string;
        /** Id of the session token that the browser was granted, or gave up. */
        readonly subject?: string;
      }
    | {
        readonly event: 'signing_key.rotated' | 'signing_key.removed';
        /** Id of the key. */
        readonly subject: string;
      }
  );

/** Keeps a record of who did what. */
export interface AuditTrail {
  /** Takes an event and returns at once. Never throws: a record that fails does not undo what happened. */
  record(event: AuditEvent): void;
}

/** The actor of what nobody asked for. */
export const SYSTEM_ACTOR: AuditActor = { actor: 'system' };
