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
  /** The private key as a JWK. */
  jwk: string;
  created_at: number;
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
