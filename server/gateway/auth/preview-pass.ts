/** A port of a sandbox, as a preview shows it. */
export type PreviewPort = {
  readonly sandboxId: string;
  /** 1 to 65,535. */
  readonly port: number;
};

/** What opens one preview: a one-time ticket first, then a cookie. Times are milliseconds since the epoch. */
export type PreviewPass = PreviewPort & {
  /** Id of the session token or API key that asked for it, and with which it ends. */
  readonly principalId: string;
  /** When the cookie ends at the latest. */
  readonly accessExpiresAt: number;
};

/** Keeps what opens previews, by hashes. Every method is one transaction, durable when it resolves. */
export interface PreviewPassStore {
  /** Resolves with false if the sandbox has `liveLimit` tickets that can be used. */
  insertTicket(
    pass: PreviewPass,
    ticket: {
      readonly hash: string;
      readonly expiresAt: number;
      readonly now: number;
      readonly liveLimit: number;
    },
  ): Promise<boolean>;
  /**
   * Turns a ticket of this port into a cookie: of any number of attempts exactly one does. Forgets
   * the sandbox's oldest cookie if it has more than `cookieLimit`.
   */
  useTicket(
    use: PreviewPort & {
      readonly ticketHash: string;
      readonly cookieHash: string;
      readonly now: number;
      readonly cookieLimit: number;
    },
  ): Promise<PreviewPass | undefined>;
  findCookie(hash: string): Promise<PreviewPass | undefined>;
  /** Forgets what has expired, at most a thousand at once. */
  purge(now: number): Promise<void>;
}
