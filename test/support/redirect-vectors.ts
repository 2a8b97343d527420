import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SeededRandom } from './scale.ts';

/** A host that no link may lead to. */
const EVIL = 'evil.example';

type Pieces = Readonly<
  Record<'slashes' | 'schemes' | 'spaces' | 'paths' | 'fine' | 'pieces', readonly string[]>
>;

const FILE = join(import.meta.dirname, 'redirect-pieces.json');
// The file is ours and has these lists.
const { slashes, schemes, spaces, paths, fine, pieces } = JSON.parse(
  readFileSync(FILE, 'utf8'),
) as Pieces;

/** Addresses that would lead elsewhere if anything on the way read them otherwise, and some that are fine. */
export function redirectVectors(appOrigin: string): readonly string[] {
  const { protocol, host, hostname } = new URL(appOrigin);
  const otherScheme = protocol === 'https:' ? 'http:' : 'https:';
  const vectors = [
    ...slashes.flatMap((slash) => [`${slash}${EVIL}`, `${slash}${EVIL}/%2f..`]),
    ...schemes.flatMap((scheme) => [`${scheme}${EVIL}`, `${scheme}${host}/path`]),
    ...CONTROLS.flatMap((control) => [`/${control}/${EVIL}`, `${control}//${EVIL}`]),
    ...spaces.map((space) => `/${space}/${EVIL}`),
    ...AUTHORITIES.map((authority) => `${protocol}//${authority(host, hostname)}`),
    ...paths,
    ...LONG,
    ...fine.map((path) => appOrigin + path),
    ...fine,
    `${otherScheme}//${host}/`,
    `//${host}/`,
    appOrigin.toUpperCase(),
    appOrigin,
  ];
  return [...new Set(vectors)];
}

/** A text of dangerous pieces in any order. Many begin like something that is allowed. */
export function randomRedirect(random: SeededRandom, appOrigin: string): string {
  const all = [...pieces, appOrigin, new URL(appOrigin).host];
  const starts = ['', '/', '/', appOrigin, `${appOrigin}/`];
  let text = starts[random.below(starts.length)] ?? '';
  for (let left = 1 + random.below(8); left > 0; left--) {
    text += random.chance(0.02)
      ? String.fromCharCode(random.below(0x10000))
      : (all[random.below(all.length)] ?? '');
  }
  return text;
}

/**
 * Why a Location is not as it must be: absolute, in its one spelling, of an allowed origin, and so
 * for a browser that gets it from the page of a link. Undefined: it is.
 */
export function problemWithLocation(
  location: string,
  options: { readonly page: string; readonly origins: readonly string[] },
): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u0020\u007f-\uffff]/.test(location)) return 'is not printable ASCII';
  if (!URL.canParse(location, options.page)) return 'is no address';
  const url = new URL(location, options.page);
  if (url.href !== location) return `is another spelling of ${url.href}`;
  if (url.protocol !== 'https:' && url.protocol !== 'http:')
    return `has the scheme ${url.protocol}`;
  if (url.username !== '' || url.password !== '') return 'names a user';
  if (!options.origins.includes(url.origin)) return `leads to ${url.origin}`;
  return undefined;
}

function range(from: number, to: number): string[] {
  return Array.from({ length: to - from + 1 }, (_, index) => String.fromCharCode(from + index));
}

const CONTROLS = [...range(0, 0x1f), ...range(0x7f, 0x9f)];
const LONG = [
  `/${'a'.repeat(2_047)}`,
  `/${'a'.repeat(2_048)}`,
  `/${'../'.repeat(600)}/${EVIL}`,
  `${'/'.repeat(2_000)}${EVIL}`,
  `/${'\u00e9'.repeat(2_000)}`,
  `//${'a'.repeat(5_000)}`,
];
const AUTHORITIES: readonly ((host: string, hostname: string) => string)[] = [
  (host) => `${host}@${EVIL}`,
  (host) => `${host}:80@${EVIL}/`,
  (host) => `${host}%40${EVIL}`,
  (host) => `${EVIL}@${host}`,
  (host) => `user:pass@${host}`,
  (host) => `@${host}`,
  (host) => `:@${host}`,
  (host) => `:x@${host}/`,
  (host) => `${EVIL}#@${host}`,
  (host) => `${EVIL}?@${host}`,
  (host) => `${EVIL}/@${host}`,
  (host) => `${EVIL}\\@${host}`,
  (host) => `${EVIL};@${host}`,
  (host) => `${EVIL}%23@${host}`,
  (host) => `${EVIL}%5c@${host}`,
  (host) => `${EVIL}\t@${host}`,
  (host) => `${host}\\@${EVIL}`,
  (host) => `${host}\t@${EVIL}`,
  (host) => `${host} @${EVIL}`,
  (host) => `${host}\uff20${EVIL}`,
  (host) => `${host}\u2215@${EVIL}`,
  (host) => `${host}\uff03@${EVIL}`,
  (_, name) => `${name}.${EVIL}`,
  (_, name) => `${name}${EVIL}`,
  (_, name) => `${name}%2e${EVIL}`,
  (_, name) => `${name}%00.${EVIL}`,
  (_, name) => `${name}%0d%0a.${EVIL}`,
  (_, name) => `${name}\u3002${EVIL}`,
  (_, name) => `${name}.`,
  (_, name) => `${name}..`,
  (_, name) => `.${name}`,
  (_, name) => `x.${name}`,
  (_, name) => `x${name}`,
  (_, name) => name.slice(0, -1),
  (_, name) => `${name.toUpperCase()}/path`,
  (_, name) => name.replace('a', '\u0430'),
  (_, name) => name.replace('a', '\uff41'),
  (_, name) => name.replace('p', '\u0440'),
  (_, name) => name.replace('e', '\u00e9'),
  (_, name) => name.replace('e', '%65'),
  (_, name) => name.replace('.', '\u3002'),
  (_, name) => name.replace('.', '\u00ad.'),
  (_, name) => name.replace('.', '%2e'),
  (_, name) => name.replace('.', '\u2024'),
  (_, name) => `xn--${name}`,
  (_, name) => `${name}:0`,
  (_, name) => `${name}:1`,
  (_, name) => `${name}:80`,
  (_, name) => `${name}:443`,
  (_, name) => `${name}:0080`,
  (_, name) => `${name}:00443/`,
  (_, name) => `${name}:65536`,
  (_, name) => `${name}:99999999999`,
  (_, name) => `${name}:-1`,
  (_, name) => `${name}:4x`,
  (_, name) => `${name}:%38%30`,
  (_, name) => `${name}:\uff18`,
  (_, name) => `${name}:`,
  (_, name) => `${name}:/path`,
  () => '2130706433',
  () => '0x7f000001',
  () => '0177.0.0.1',
  () => '127.1',
  () => '[::1]',
  () => '[::ffff:127.0.0.1]',
  () => '169.254.169.254',
  () => 'localhost',
  () => 'localhost.',
  () => `${EVIL}/${'a'.repeat(2_000)}`,
  (host) => `${host}/${'a'.repeat(2_100)}`,
  (host) => `${host}/${'a'.repeat(1_900)}`,
  (host) => `${host}${'/'.repeat(1_900)}${EVIL}`,
  () => `${'a.'.repeat(200)}${EVIL}`,
];
