/** A setting of the gateway, as `--help` shows it. */
export type Setting = {
  readonly name: string;
  readonly fallback: string;
  readonly meaning: string;
};

/** Every setting there is, in the order of the documentation. */
export const SETTINGS = [
  {
    name: 'HOST',
    fallback: '127.0.0.1,::1',
    meaning: 'address to listen on, or several with commas',
  },
  { name: 'PORT', fallback: '4000', meaning: 'port to listen on; 0 picks a free one' },
  {
    name: 'COMPUTESDK_PUBLIC_URL',
    fallback: 'http://localhost:<port>',
    meaning: 'canonical address of this gateway, in links and sandbox.url',
  },
  {
    name: 'COMPUTESDK_DATA_DIR',
    fallback: '.computesdk',
    meaning: 'directory of all state; one gateway at a time uses it',
  },
  {
    name: 'COMPUTESDK_API_KEY',
    fallback: 'made at the first start',
    meaning: 'the API key of backends, at least 8 characters',
  },
  {
    name: 'COMPUTESDK_APP_ORIGIN',
    fallback: 'the public URL',
    meaning: 'origin of the app, where relative redirects lead',
  },
  {
    name: 'COMPUTESDK_ALLOWED_ORIGINS',
    fallback: 'the app origin',
    meaning: 'web origins that may call, with commas between',
  },
  {
    name: 'COMPUTESDK_ALLOWED_HOSTS',
    fallback: "the public URL's host",
    meaning: 'host names that requests may be for, with commas between',
  },
  {
    name: 'COMPUTESDK_TRUSTED_PROXIES',
    fallback: 'none',
    meaning: 'CIDR blocks of proxies whose X-Forwarded-For counts',
  },
  {
    name: 'COMPUTESDK_PREVIEW_DOMAIN',
    fallback: 'localhost',
    meaning: 'previews are served at <port>-<id>.<domain>',
  },
  {
    name: 'COMPUTESDK_DRIVER',
    fallback: 'the best that works',
    meaning: 'how sandboxes are boxed: bubblewrap or process',
  },
  {
    name: 'COMPUTESDK_EGRESS',
    fallback: 'nat if it can be had, else none',
    meaning: 'outgoing network of sandboxes: none, nat or host',
  },
  {
    name: 'COMPUTESDK_UNSAFE',
    fallback: 'off',
    meaning:
      '1 lets the process driver serve other addresses than loopback, with cookies and previews',
  },
  {
    name: 'COMPUTESDK_UID_RANGE',
    fallback: '70000-79999',
    meaning: 'host uids of sandboxes when the gateway runs as root',
  },
  {
    name: 'COMPUTESDK_AGENT_GRACE',
    fallback: '600',
    meaning: 'seconds that terminals live on without a gateway',
  },
  {
    name: 'COMPUTESDK_TLS_CERT',
    fallback: 'none: cleartext',
    meaning: 'file with the certificate chain, PEM; needs COMPUTESDK_TLS_KEY',
  },
  {
    name: 'COMPUTESDK_TLS_KEY',
    fallback: 'none: cleartext',
    meaning: 'file with the private key, PEM; needs COMPUTESDK_TLS_CERT',
  },
  {
    name: 'COMPUTESDK_PRINT_LINK',
    fallback: 'to a person, or on loopback',
    meaning: '1 or 0: whether a start prints a one-time link that opens a terminal in the browser',
  },
  {
    name: 'COMPUTESDK_LOG_LEVEL',
    fallback: 'info',
    meaning: 'least urgent log lines that are written: debug, info, warn or error',
  },
] as const satisfies readonly Setting[];

/** The name of a setting. */
export type SettingName = (typeof SETTINGS)[number]['name'];

/** Names that other parts of the product read; a gateway started beside them must not warn. */
const FOREIGN_NAMES: ReadonlySet<string> = new Set([
  'COMPUTESDK_GATEWAY_URL',
  'COMPUTESDK_SKIP_SETUP',
  'COMPUTESDK_SOAK',
  'COMPUTESDK_SEED',
]);

/** Changes between two names up to which one is taken for a slip of the other. */
const MAX_SLIPS = 6;

/** A warning for every variable that looks like a setting and is none. */
export function unknownSettings(names: readonly string[]): string[] {
  const known: readonly string[] = SETTINGS.map((setting) => setting.name);
  return names
    .filter(
      (name) => name.startsWith('COMPUTESDK_') && !known.includes(name) && !FOREIGN_NAMES.has(name),
    )
    .map((name) => {
      const ranked = known.map((other) => ({ other, slips: distance(name, other) }));
      const [nearest] = ranked.sort((a, b) => a.slips - b.slips);
      const hint = nearest && nearest.slips <= MAX_SLIPS ? `; did you mean ${nearest.other}?` : '';
      return `${name} is no setting and has no effect${hint}`;
    });
}

/** How many single characters must change to make one text of the other. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [index, char] of [...a].entries()) {
    const next = [index + 1];
    for (const [column, other] of [...b].entries()) {
      const replaced = (row[column] ?? 0) + (char === other ? 0 : 1);
      next.push(Math.min(replaced, (row[column + 1] ?? 0) + 1, (next[column] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
