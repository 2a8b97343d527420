import {
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
} from 'node:crypto';

/** A credential that must open nothing. */
export type Forgery = {
  readonly name: string;
  /** Authorization headers, mostly one. */
  readonly authorization: string | readonly string[];
  /** The value of a cookie. */
  readonly cookie: string;
};

export type Genuine = {
  /** The text of a valid session token. */
  readonly text: string;
  readonly token: { readonly id: string; readonly sandboxId: string };
  /** The key that signed it, as the gateway's database has it. */
  readonly jwk: Record<string, unknown>;
};

type Fields = Readonly<Record<string, unknown>>;

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const SECOND = 1000;

/** Tokens that are forged with and without the key, and mistyped ones. */
export function forgeries(genuine: Genuine): Forgery[] {
  const texts = [
    ...forgedHeaders(genuine),
    ...forgedClaims(genuine),
    ...mistyped(genuine),
    ...otherForms(genuine),
  ];
  return [...texts.map(([name, text]) => plain(name, text)), ...forgedSchemes(genuine)];
}

function plain(name: string, text: string): Forgery {
  return { name, authorization: `Bearer ${text}`, cookie: text };
}

type Named = readonly [name: string, text: string];

function forgedHeaders({ text, jwk }: Genuine): Named[] {
  const [head = '', claims = ''] = text.split('.');
  const header: Fields = JSON.parse(Buffer.from(head, 'base64url').toString());
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const publicKey = createPublicKey(key);
  const { privateKey: other, publicKey: otherPublic } = generateKeyPairSync('ed25519');
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const pem = publicKey.export({ type: 'spki', format: 'pem' });
  const raw = Buffer.from(String(jwk['x']), 'base64url');
  const withHeader = (fields: Fields, signer: KeyObject = key) =>
    signed(`${encode({ ...header, ...fields })}.${claims}`, signer);
  const hmac = (secret: string | Buffer, alg = 'HS256') => {
    const input = `${encode({ ...header, alg })}.${claims}`;
    return `${input}.${createHmac('sha256', secret).update(input).digest('base64url')}`;
  };
  return [
    ['alg none, no signature', `${encode({ ...header, alg: 'none' })}.${claims}.`],
    [
      'alg None, old signature',
      `${encode({ ...header, alg: 'None' })}.${claims}.${text.split('.')[2]}`,
    ],
    ['alg nOnE, signed', withHeader({ alg: 'nOnE' })],
    ['no alg', withHeader({ alg: undefined })],
    ['alg null', withHeader({ alg: null })],
    ['HS256 with the public key as PEM', hmac(String(pem))],
    ['HS256 with the raw public key', hmac(raw)],
    ['HS256 with an empty secret', hmac('')],
    ['HS512 by name', hmac(raw, 'HS512')],
    ['RS256', signed(`${encode({ ...header, alg: 'RS256' })}.${claims}`, rsa, 'sha256')],
    ['ES256', signed(`${encode({ ...header, alg: 'ES256' })}.${claims}`, ec, 'sha256')],
    ['alg Ed25519', withHeader({ alg: 'Ed25519' })],
    ['another key under our kid', withHeader({}, other)],
    ['another key under its own kid', withHeader({ kid: 'mine' }, other)],
    ['kid a path', withHeader({ kid: '../../../../dev/null' })],
    ['kid SQL', withHeader({ kid: "' OR 1=1 --" })],
    ['kid an address', withHeader({ kid: 'http://127.0.0.1:9/jwks.json' })],
    ['kid of 10 KB', withHeader({ kid: 'k'.repeat(10_000) })],
    ['kid of a prototype', withHeader({ kid: '__proto__' })],
    ['kid a number', withHeader({ kid: 1 })],
    ['kid a list', withHeader({ kid: [header['kid']] })],
    ['no kid', withHeader({ kid: undefined })],
    ['jku', withHeader({ jku: 'http://127.0.0.1:9/jwks.json' }, other)],
    ['jku, truly signed', withHeader({ jku: 'http://127.0.0.1:9/jwks.json' })],
    ['x5u', withHeader({ x5u: 'http://127.0.0.1:9/certificate' }, other)],
    ['x5c', withHeader({ x5c: ['MIIB'] }, other)],
    ['jwk', withHeader({ jwk: otherPublic.export({ format: 'jwk' }) }, other)],
    ['crit', withHeader({ crit: ['exp'] })],
    ['b64 false', withHeader({ b64: false, crit: ['b64'] })],
    ['typ JWT', withHeader({ typ: 'JWT' })],
    ['typ of another product', withHeader({ typ: 'at+jwt' })],
    ['no typ', withHeader({ typ: undefined })],
    ['cty', withHeader({ cty: 'JWT' })],
  ];
}

function forgedClaims({ text, jwk }: Genuine): Named[] {
  const [header = '', body = ''] = text.split('.');
  const claims: Fields = JSON.parse(Buffer.from(body, 'base64url').toString());
  const key = createPrivateKey({ key: jwk, format: 'jwk' });
  const withClaims = (fields: Fields) =>
    signed(`${header}.${encode({ ...claims, ...fields })}`, key);
  const now = Math.floor(Date.now() / SECOND);
  return [
    ['no exp', withClaims({ exp: undefined })],
    ['exp a text', withClaims({ exp: String(claims['exp']) })],
    ['exp negative', withClaims({ exp: -1 })],
    ['exp huge', withClaims({ exp: Number.MAX_SAFE_INTEGER })],
    ['exp a second later', withClaims({ exp: Number(claims['exp']) + 1 })],
    [
      'exp infinite',
      signed(
        `${header}.${base64(JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e999'))}`,
        key,
      ),
    ],
    ['nbf in the future', withClaims({ nbf: now + 3_600 })],
    ['iat in the future', withClaims({ iat: now + 3_600 })],
    ['aud another', withClaims({ aud: 'sbx00000000000000000000000000' })],
    ['aud a list', withClaims({ aud: [claims['aud']] })],
    ['iss another', withClaims({ iss: 'https://evil.example' })],
    ['jti another', withClaims({ jti: 'tok00000000000000000000000000' })],
    ['jti of a prototype', withClaims({ jti: 'constructor' })],
    ['scope more', withClaims({ scope: `${claims['scope']} admin` })],
    ['sub', withClaims({ sub: 'root' })],
    [
      'a claim twice',
      signed(
        `${header}.${base64(JSON.stringify(claims).replace('{', '{"exp":99999999999,'))}`,
        key,
      ).replace(/.$/, 'x'),
    ],
    ['claims a list', signed(`${header}.${encode([claims])}`, key)],
    ['claims null', signed(`${header}.${base64('null')}`, key)],
    [
      'claims no UTF-8',
      signed(`${header}.${Buffer.from([0xff, 0xfe, 0x80]).toString('base64url')}`, key),
    ],
    ['claims of 8 KB', withClaims({ pad: 'x'.repeat(8_000) })],
    ['nested', signed(`${header}.${base64(text)}`, key)],
  ];
}

function mistyped({ text }: Genuine): Named[] {
  const [header = '', claims = '', signature = ''] = text.split('.');
  const last = BASE64URL.indexOf(text.slice(-1));
  // The last character of 64 bytes has four spare bits.
  const spellings = Array.from({ length: 16 }, (_, spare) =>
    BASE64URL.charAt((last & 0b110000) | spare),
  );
  const others = spellings.filter((character) => character !== text.slice(-1));
  return [
    ...others.map(
      (character): Named => [`last character ${character}`, text.slice(0, -1) + character],
    ),
    ['one character less', text.slice(0, -1)],
    ['one character more', `${text}A`],
    ['padding', `${text}==`],
    ['trailing garbage', `${text}garbage`],
    ['a fourth part', `${text}.${signature}`],
    ['standard base64', `${header}.${claims}.${signature.slice(0, -3)}+/=`],
    ['upper case', text.toUpperCase()],
    ['lower case', text.toLowerCase()],
    [
      'the first byte of the signature',
      `${header}.${claims}.${flip(signature)}${signature.slice(1)}`,
    ],
    ['claims changed', `${header}.${flip(claims)}${claims.slice(1)}.${signature}`],
    ['quoted', `"${text}"`],
    ['twice', `${text}${text}`],
  ];
}

function otherForms({ text, token }: Genuine): Named[] {
  const [header = '', claims = '', signature = ''] = text.split('.');
  return [
    ['JWE', `${base64('{"alg":"dir","enc":"A256GCM"}')}..AAAA.${claims}.AAAA`],
    ['no header', `.${claims}.${signature}`],
    ['no claims', `${header}..${signature}`],
    ['no signature', `${header}.${claims}.`],
    ['two parts', `${header}.${claims}`],
    ['dots', '..'],
    ['many dots', '.'.repeat(5_000)],
    ['empty', ''],
    ['a zero signature', `${header}.${claims}.${'A'.repeat(86)}`],
    ['JSON', `{"token":"${token.id}"}`],
    ['the id of the token', token.id],
    ['the id of the sandbox', token.sandboxId],
    ['an API key that is none', `csk_${'a'.repeat(43)}`],
    ['bytes that are no UTF-8', `${text}\xff\xfe`],
    ['percent encoding', text.replaceAll('.', '%2e')],
    ['huge', 'a'.repeat(14_000)],
    ['huge, in three parts', `${'a'.repeat(4_600)}.${'b'.repeat(4_600)}.${'c'.repeat(86)}`],
  ];
}

/** Here the headers are wrong around the token; as a cookie it is spoilt. */
function forgedSchemes({ text }: Genuine): Forgery[] {
  const cookie = `${text}x`;
  return [
    { name: 'no scheme', authorization: text, cookie },
    { name: 'Basic', authorization: `Basic ${Buffer.from(`:${text}`).toString('base64')}`, cookie },
    { name: 'Basic with a token', authorization: `Basic ${text}`, cookie },
    { name: 'lower case, spoilt', authorization: `bearer ${text}x`, cookie },
    { name: 'upper case, spoilt', authorization: `BEARER ${text}x`, cookie },
    { name: 'scheme twice', authorization: `Bearer Bearer ${text}`, cookie },
    { name: 'scheme without a space', authorization: `Bearer${text}`, cookie },
    { name: 'a tab after the scheme', authorization: `Bearer\t${text}`, cookie },
    { name: 'two tokens', authorization: `Bearer ${text} ${text}`, cookie },
    { name: 'with a comma', authorization: `Bearer ${text}, Bearer ${text}`, cookie },
    { name: 'spaces only', authorization: 'Bearer    ', cookie },
    { name: 'two headers', authorization: [`Bearer ${text}`, `Bearer ${text}`], cookie },
    { name: 'two headers, one empty', authorization: [`Bearer ${text}`, ''], cookie },
    { name: 'a parameter', authorization: `Bearer token=${text}`, cookie },
  ];
}

function signed(input: string, key: KeyObject, digest: string | null = null): string {
  return `${input}.${sign(digest, Buffer.from(input), key).toString('base64url')}`;
}

function encode(value: unknown): string {
  return base64(JSON.stringify(value));
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64url');
}

function flip(text: string): string {
  return text.startsWith('A') ? 'B' : 'A';
}
