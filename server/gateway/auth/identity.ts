/** An API key as it is kept: not the key, only its hash. */
export type ApiKeyRecord = {
  readonly id: string;
  readonly workspaceId: string;
  /** SHA-256 of the key, in hexadecimal. */
  readonly hash: string;
};

/** A private key that signs session tokens. */
export type SigningKeyRecord = {
  /** The key's thumbprint; the `kid` of what it signs. */
  readonly id: string;
  /** The private key as a JWK in JSON. */
  readonly jwk: string;
};

/** A signing key that is kept. */
export type KeptSigningKey = SigningKeyRecord & {
  /** Milliseconds since the epoch. */
  readonly createdAt: number;
};

/** Keeps who the installation is. Every method is durable when it resolves. */
export interface IdentityStore {
  /** The installation's id: the one that is kept, or else `candidate`. */
  installation(candidate: string, now: number): Promise<string>;
  /** Makes `key` the workspace's only API key and returns it under the id that its hash already had, if it had one. */
  useApiKey(key: ApiKeyRecord, now: number): Promise<ApiKeyRecord>;
  /** Makes a workspace, if there is none of this id. */
  addWorkspace(id: string, now: number): Promise<void>;
  /** All signing keys but those that were removed, newest first. */
  signingKeys(): Promise<readonly KeptSigningKey[]>;
  addSigningKey(key: SigningKeyRecord, now: number): Promise<void>;
  /**
   * Destroys a key and revokes every live token that it signed. Resolves with how many those were,
   * undefined if there is no such key.
   */
  removeSigningKey(id: string, now: number): Promise<number | undefined>;
}
