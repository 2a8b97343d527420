/** What a session token can allow, each named after the service and the verb. */
export const SCOPES = [
  'command:run',
  'files:read',
  'files:write',
  'preview:read',
  'signal:emit',
  'signal:read',
  'terminal:read',
  'terminal:write',
  'watch:read',
] as const;

/** One thing that a session token can allow. */
export type Scope = (typeof SCOPES)[number];

/** Whom a caller acts as. */
export type Actor = {
  /** Whom what it makes belongs to. Stays the same however often the token is refreshed. */
  readonly subject: string;
  /** Whose things are its own: `subject` first, then those of tokens whose place its own one took. */
  readonly subjects: readonly string[];
};

/** Whoever makes a call, as the gateway established it. This, never a credential, is what enters a box. */
export type Principal = Actor & {
  /** Id of the session token or API key. Not a secret. */
  readonly id: string;
  readonly scopes: readonly Scope[];
};

/** Whether `text` is a known scope. */
export function isScope(text: string): text is Scope {
  return (SCOPES as readonly string[]).includes(text);
}
