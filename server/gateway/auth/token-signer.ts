import type { CryptoKey, JWK } from 'jose';
import {
  CompactSign,
  calculateJwkThumbprint,
  compactVerify,
  exportJWK,
  generateKeyPair,
  importJWK,
} from 'jose';
import { DomainError } from '../../core/domain-error.ts';
import type { SigningKeyRecord } from './identity.ts';
import type { SessionToken } from './session-token.ts';

/** What a token's text says. The store's row, not this, decides what it is worth. */
export type TokenClaims = {
  readonly iss: string;
  readonly aud: string;
  readonly jti: string;
  readonly iat: number;
  readonly exp: number;
  readonly scope: string;
};

/** The public keys, as `/.well-known/jwks.json` serves them. */
export type PublicKeys = { readonly keys: readonly Readonly<Record<string, string>>[] };

/** The one algorithm. It is never taken from a token. */
const ALGORITHM = 'EdDSA';
/** Tells our tokens from every other JWT that this key may ever sign. */
const TOKEN_TYPE = 'computesdk-session+jwt';
/** Three base64url parts; an Ed25519 signature has 86 characters. The bounds keep a forged one from costing much. */
const TOKEN_FORM = /^([\w-]{1,512})\.([\w-]{1,1024})\.([\w-]{86})$/;

type Key = {
  readonly id: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly publicJwk: JWK;
};

/** A new private key for {@link TokenSigner}. */
export async function generateSigningKey(): Promise<SigningKeyRecord> {
  const { privateKey } = await generateKeyPair(ALGORITHM, { crv: 'Ed25519', extractable: true });
  const jwk = await exportJWK(privateKey);
  return { id: await calculateJwkThumbprint(jwk), jwk: JSON.stringify(jwk) };
}

/** Writes and checks the text of session tokens: JWTs signed with Ed25519. */
export class TokenSigner {
  readonly #installationId: string;
  /** By id, newest first. The newest signs; all verify. */
  #keys: ReadonlyMap<string, Key> = new Map();

  private constructor(installationId: string) {
    this.#installationId = installationId;
  }

  /** Reads the keys, newest first. */
  static async open(options: {
    readonly installationId: string;
    readonly keys: readonly SigningKeyRecord[];
  }): Promise<TokenSigner> {
    const signer = new TokenSigner(options.installationId);
    await signer.useKeys(options.keys);
    return signer;
  }

  /** Signs and verifies with these keys, newest first, and with no others, from now on. */
  async useKeys(records: readonly SigningKeyRecord[]): Promise<void> {
    const keys = await Promise.all(
      records.map(async (record) => this.#keys.get(record.id) ?? (await readKey(record))),
    );
    this.#keys = new Map(keys.map((key) => [key.id, key]));
  }

  /** The key that signs new tokens. */
  get signingKeyId(): string {
    const [newestId] = this.#keys.keys();
    if (newestId !== undefined) return newestId;
    throw new DomainError('INTERNAL', 'there is no key to sign session tokens with');
  }

  /** The text of a token. The same record gives the same text, always: Ed25519 uses no randomness. */
  async sign(token: SessionToken): Promise<string> {
    const key = this.#keys.get(token.signingKeyId);
    if (!key)
      throw new DomainError('REVOKED', 'the key that signed this session token was removed');
    const claims = new TextEncoder().encode(JSON.stringify(this.#claimsOf(token)));
    return await new CompactSign(claims)
      .setProtectedHeader({ alg: ALGORITHM, typ: TOKEN_TYPE, kid: key.id })
      .sign(key.privateKey);
  }

  /** The claims of a text that one of our keys signed, else undefined. No I/O, nothing is fetched. */
  async verify(text: string): Promise<TokenClaims | undefined> {
    const [, header = '', , signature = ''] = TOKEN_FORM.exec(text) ?? [];
    // The signature's last character has spare bits; one spelling of it is enough.
    if (header === '' || Buffer.from(signature, 'base64url').toString('base64url') !== signature)
      return undefined;
    const key = this.#keyNamedBy(header);
    if (!key) return undefined;
    try {
      const { payload } = await compactVerify(text, key.publicKey, { algorithms: [ALGORITHM] });
      return readClaims(payload);
    } catch {
      return undefined;
    }
  }

  /** Whether verified claims say exactly what the record says. */
  matches(claims: TokenClaims, token: SessionToken): boolean {
    const expected = this.#claimsOf(token);
    return CLAIMS.every((name) => claims[name] === expected[name]);
  }

  /** The public halves of all keys that verify. */
  publicKeys(): PublicKeys {
    const keys = [...this.#keys.values()].map(({ id, publicJwk }) => ({
      kty: 'OKP',
      crv: 'Ed25519',
      x: publicJwk.x ?? '',
      kid: id,
      alg: ALGORITHM,
      use: 'sig',
    }));
    return { keys };
  }

  #claimsOf(token: SessionToken): TokenClaims {
    return {
      iss: this.#installationId,
      aud: token.sandboxId,
      jti: token.id,
      iat: Math.floor(token.createdAt / 1000),
      // Rounded up: the record ends it to the millisecond, the text must not end before.
      exp: Math.ceil(token.expiresAt / 1000),
      scope: token.scopes.join(' '),
    };
  }

  #keyNamedBy(header: string): Key | undefined {
    const fields = parseObject(Buffer.from(header, 'base64url').toString('utf8'));
    // Exactly what we write: no jku, x5u, jwk or crit can have a say.
    if (!fields || Object.keys(fields).length !== 3) return undefined;
    const { alg, typ, kid } = fields;
    if (alg !== ALGORITHM || typ !== TOKEN_TYPE || typeof kid !== 'string') return undefined;
    return this.#keys.get(kid);
  }
}

const CLAIMS = ['iss', 'aud', 'jti', 'iat', 'exp', 'scope'] as const;

async function readKey(record: SigningKeyRecord): Promise<Key> {
  const jwk: JWK = JSON.parse(record.jwk);
  const { d: _private, ...publicJwk } = jwk;
  const [privateKey, publicKey] = await Promise.all([
    importJWK(jwk, ALGORITHM),
    importJWK(publicJwk, ALGORITHM),
  ]);
  if (privateKey instanceof Uint8Array || publicKey instanceof Uint8Array) {
    throw new DomainError('INTERNAL', `the signing key ${record.id} is not an Ed25519 key`);
  }
  return { id: record.id, privateKey, publicKey, publicJwk };
}

function readClaims(payload: Uint8Array): TokenClaims | undefined {
  const fields = parseObject(new TextDecoder().decode(payload));
  if (!fields || Object.keys(fields).length !== CLAIMS.length) return undefined;
  const { iss, aud, jti, iat, exp, scope } = fields;
  if (typeof iss !== 'string' || typeof aud !== 'string' || typeof jti !== 'string')
    return undefined;
  if (typeof iat !== 'number' || typeof exp !== 'number' || typeof scope !== 'string')
    return undefined;
  return { iss, aud, jti, iat, exp, scope };
}

function parseObject(json: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}
