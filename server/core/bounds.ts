import { invalidArgument } from './domain-error.ts';

/** Free-form text of an owner, by key. */
export type Metadata = Readonly<Record<string, string>>;

/** The longest request id, in characters. */
export const MAX_REQUEST_ID_CHARS = 128;
/** The most entries of a metadata map. */
export const MAX_METADATA_ENTRIES = 64;
/** The longest key of a metadata map, in characters. */
export const MAX_METADATA_KEY_CHARS = 128;
/** The longest value of a metadata map, in characters. */
export const MAX_METADATA_VALUE_CHARS = 1024;
/** The most items of one page of a list. */
export const MAX_PAGE_SIZE = 500;
/** How many items a page has if the caller does not say. */
export const DEFAULT_PAGE_SIZE = 100;

const MAX_PORT = 65_535;

/** A position in a list: the sequence number of the last item that was delivered. */
export type Page = { readonly size: number; readonly after: number };

/** Throws INVALID_ARGUMENT unless `text` has `min` to `max` characters and no control character. */
export function checkLine(
  field: string,
  text: string,
  bounds: { min?: number; max: number },
): string {
  const { min = 0, max } = bounds;
  if (isLongerThan(text, max) || text.length < min) {
    const range = min > 0 ? `${min} to ${max}` : `at most ${max}`;
    throw invalidArgument(field, `must have ${range} characters`);
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for.
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(text)) {
    throw invalidArgument(field, 'must not contain control characters');
  }
  return text;
}

/** Throws INVALID_ARGUMENT unless it is a TCP port. */
export function checkPort(field: string, port: number): number {
  if (Number.isInteger(port) && port >= 1 && port <= MAX_PORT) return port;
  throw invalidArgument(field, `must be a whole number from 1 to ${MAX_PORT}`);
}

/** Throws INVALID_ARGUMENT unless `requestId` is empty or within its bounds. */
export function checkRequestId(requestId: string): string {
  return checkLine('requestId', requestId, { max: MAX_REQUEST_ID_CHARS });
}

/** Throws INVALID_ARGUMENT unless `metadata` is within its bounds. */
export function checkMetadata(metadata: Metadata): Metadata {
  const entries = Object.entries(metadata);
  if (entries.length > MAX_METADATA_ENTRIES) {
    throw invalidArgument('metadata', `must have at most ${MAX_METADATA_ENTRIES} entries`);
  }
  for (const [key, value] of entries) {
    checkLine('metadata', key, { min: 1, max: MAX_METADATA_KEY_CHARS });
    if (isLongerThan(value, MAX_METADATA_VALUE_CHARS)) {
      throw invalidArgument(
        'metadata',
        `a value must have at most ${MAX_METADATA_VALUE_CHARS} characters`,
      );
    }
  }
  return metadata;
}

/** Throws INVALID_ARGUMENT unless `ms` lies between the bounds, which `range` spells for a person. */
export function checkDuration(
  field: string,
  ms: number,
  bounds: { readonly minMs: number; readonly maxMs: number; readonly range: string },
): number {
  if (ms >= bounds.minMs && ms <= bounds.maxMs) return Math.round(ms);
  throw invalidArgument(field, `must be ${bounds.range}`);
}

/** The page that a list request asks for. Throws INVALID_ARGUMENT. */
export function checkPage(request: { pageSize: number; pageToken: string }): Page {
  const { pageSize, pageToken } = request;
  if (!Number.isInteger(pageSize) || pageSize < 0 || pageSize > MAX_PAGE_SIZE) {
    throw invalidArgument('pageSize', `must be 1 to ${MAX_PAGE_SIZE}`);
  }
  const size = pageSize === 0 ? DEFAULT_PAGE_SIZE : pageSize;
  if (pageToken === '') return { size, after: 0 };
  const after = Buffer.from(pageToken, 'base64url').toString('latin1');
  if (!/^[1-9]\d{0,14}$/.test(after) || pageTokenAfter(Number(after)) !== pageToken) {
    throw invalidArgument('pageToken', 'must be the nextPageToken of the page before, or empty');
  }
  return { size, after: Number(after) };
}

/** The page token that goes on after the item with this sequence number. */
export function pageTokenAfter(sequence: number): string {
  return Buffer.from(String(sequence), 'latin1').toString('base64url');
}

/** Whether `text` has more than `max` characters; a character outside the basic plane counts once. */
function isLongerThan(text: string, max: number): boolean {
  if (text.length <= max) return false;
  return text.length > 2 * max || [...text].length > max;
}
