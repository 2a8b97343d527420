import type { Generated } from 'kysely';

/** The tables. Times are milliseconds since the epoch; `sequence` orders rows and only grows. */
export type Tables = {
  installation: InstallationTable;
  workspaces: WorkspaceTable;
  api_keys: ApiKeyTable;
  signing_keys: SigningKeyTable;
  sandboxes: SandboxTable;
  session_tokens: SessionTokenTable;
  requests: RequestTable;
  magic_links: MagicLinkTable;
  browser_sessions: BrowserSessionTable;
  browser_grants: BrowserGrantTable;
  token_endings: TokenEndingTable;
  preview_passes: PreviewPassTable;
};

type InstallationTable = { id: string; created_at: number };

type WorkspaceTable = { id: string; created_at: number };

type ApiKeyTable = {
  id: string;
  workspace_id: string;
  /** SHA-256 of the key, in hexadecimal. */
  hash: string;
  created_at: number;
  /** When another key took its place. */
  retired_at: number | null;
};

type SigningKeyTable = {
  /** The key's thumbprint. */
  id: string;
  /** The private key as a JWK. Empty once it was removed. */
  jwk: string;
  created_at: number;
  removed_at: Generated<number | null>;
};

export type SandboxTable = {
  sequence: Generated<number>;
  id: string;
  workspace_id: string;
  namespace: string;
  name: string;
  /** JSON object. */
  metadata: string;
  status: 'running' | 'failed' | 'destroying';
  failure: string;
  driver: string;
  /** Host uid of the box. Taken as long as the row, and so its files, exist. */
  uid: number | null;
  created_at: number;
  expires_at: number;
  boot_id: string | null;
  /** JSON array, newest first. */
  previous_boot_ids: string;
  handle: string | null;
  previews: Generated<'private' | 'public'>;
  /** JSON array. */
  public_ports: Generated<string>;
  preview_host: Generated<'localhost' | 'preserved'>;
};

export type SessionTokenTable = {
  sequence: Generated<number>;
  id: string;
  sandbox_id: string;
  description: string;
  /** JSON array. */
  scopes: string;
  /** JSON object. */
  metadata: string;
  signing_key_id: string;
  created_at: number;
  expires_at: number;
  last_used_at: number | null;
  ended_at: number | null;
  end_reason: 'REVOKED' | 'EXPIRED' | 'DESTROYED' | null;
  kind: Generated<'created' | 'magic_link'>;
  /** JSON array: the subjects that it goes by beside its own id, the first one foremost. */
  subjects: Generated<string>;
};

export type MagicLinkTable = {
  sequence: Generated<number>;
  id: string;
  sandbox_id: string;
  /** SHA-256 of the secret, in hexadecimal. */
  hash: string;
  /** What the secret is derived with. Worth nothing without the API key. */
  salt: string;
  redirect_url: string;
  description: string;
  /** JSON array. */
  scopes: string;
  /** Life of the session token that it becomes, in milliseconds. */
  token_expires_in: number;
  created_at: number;
  expires_at: number;
  ended_at: number | null;
  end_reason: 'USED' | 'REVOKED' | 'DESTROYED' | null;
  /** SHA-256 of the nonce of the browser that used it. */
  nonce_hash: string | null;
  /** The session token that it became. */
  token_id: string | null;
};

type BrowserSessionTable = {
  sequence: Generated<number>;
  /** SHA-256 of the cookie, in hexadecimal. */
  hash: string;
  created_at: number;
};

type BrowserGrantTable = {
  session_sequence: number;
  sandbox_id: string;
  token_id: string;
};

/** What opens a preview: a ticket, which becomes a cookie when it is used. */
type PreviewPassTable = {
  sequence: Generated<number>;
  /** SHA-256 of the ticket's or the cookie's text, in hexadecimal. */
  hash: string;
  kind: 'ticket' | 'cookie';
  sandbox_id: string;
  port: number;
  /** The session token or API key that asked for it. */
  principal_id: string;
  expires_at: number;
  /** When the cookie ends that the ticket becomes, or is. */
  access_expires_at: number;
};

/** Written by triggers, read by the change feed. */
type TokenEndingTable = {
  sequence: Generated<number>;
  token_id: string;
  reason: 'REVOKED' | 'EXPIRED' | 'DESTROYED';
};

/** What a request with an id made, so that its retry makes nothing. */
type RequestTable = {
  sequence: Generated<number>;
  principal_id: string;
  method: string;
  request_id: string;
  result_id: string;
  created_at: number;
};
