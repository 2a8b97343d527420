/** What every cookie name of ours begins with, in lower case. */
const OWN_PREFIX = '__host-computesdk';
/** The cookie of a preview that is a page of its own. */
const PAGE_COOKIE = '__Host-computesdk-preview';
/** The cookie of a preview in a frame; a browser keeps one for each site that frames it. */
const FRAME_COOKIE = '__Host-computesdk-preview-framed';
/** Cookies of our names that are looked at: pages can add some. */
const MAX_CANDIDATES = 8;

/** The values that may open a preview. Which of several is ours only the store can tell. */
export function readPreviewCookies(header: string | undefined): readonly string[] {
  const values: string[] = [];
  for (const pair of (header ?? '').split(';')) {
    const equals = pair.indexOf('=');
    const name = pair.slice(0, Math.max(equals, 0)).trim();
    if (name === PAGE_COOKIE || name === FRAME_COOKIE) values.push(pair.slice(equals + 1).trim());
  }
  return values.slice(0, MAX_CANDIDATES);
}

/** The Set-Cookie headers that let a browser in until `expiresAt`. `destination` is its Sec-Fetch-Dest. */
export function previewCookies(
  value: string,
  destination: string | undefined,
  { expiresAt, now }: { readonly expiresAt: number; readonly now: number },
): string[] {
  const seconds = Math.max(0, Math.floor((expiresAt - now) / 1000));
  const common = `Path=/; Max-Age=${seconds}; HttpOnly; Secure`;
  const page = `${PAGE_COOKIE}=${value}; ${common}; SameSite=Lax`;
  const frame = `${FRAME_COOKIE}=${value}; ${common}; SameSite=None; Partitioned`;
  if (destination === undefined) return [page, frame];
  return [destination === 'document' ? page : frame];
}

/** A Cookie header without cookies of ours. Undefined: nothing is left. */
export function withoutOwnCookies(header: string): string | undefined {
  const kept = header.split(';').filter((pair) => !pair.toLowerCase().includes(OWN_PREFIX));
  const text = kept
    .map((pair) => pair.trim())
    .filter((pair) => pair !== '')
    .join('; ');
  return text === '' ? undefined : text;
}

/** A Set-Cookie header as the preview's host may set it: its own, of this host alone. Undefined: not at all. */
export function ownHostCookie(header: string): string | undefined {
  const [pair = '', ...attributes] = header.split(';');
  // A cookie without a name is sent as its value, which may look like one of ours.
  if (pair.toLowerCase().includes(OWN_PREFIX)) return undefined;
  const kept = attributes.filter((attribute) => !/^\s*domain\s*(=|$)/i.test(attribute));
  return [pair, ...kept].join(';');
}
