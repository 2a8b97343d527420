import {
  type Duration,
  durationFromMs,
  type Timestamp,
  timestampDate,
} from '@bufbuild/protobuf/wkt';
import { invalidArgument } from './errors.ts';

/** The longest time the wire can carry, in milliseconds. The server's own bounds are far below. */
const MAX_DURATION_MS = 315_576_000_000 * 1000;
const MAX_UINT32 = 2 ** 32 - 1;

/** A time in the unit of its field, as the wire wants it. */
export function toDuration(
  field: string,
  value: number,
  unit: 'seconds' | 'milliseconds',
): Duration {
  const ms = unit === 'seconds' ? value * 1000 : value;
  // The negation also catches NaN, and values from untyped callers.
  if (typeof value !== 'number' || !(ms > 0 && ms <= MAX_DURATION_MS)) {
    throw invalidArgument(field, `must be a positive number of ${unit}, up to 30 days`);
  }
  return durationFromMs(Math.max(Math.round(ms), 1));
}

/** A whole number that fits the wire; its real bounds are the server's to judge. */
export function toUint32(field: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value > MAX_UINT32) {
    throw invalidArgument(field, 'must be a whole number, 0 or more');
  }
  return value;
}

/** A time that the server always sets. */
export function toDate(timestamp: Timestamp | undefined): Date {
  return timestamp ? timestampDate(timestamp) : new Date(0);
}

/** A time that may be absent. */
export function toOptionalDate(timestamp: Timestamp | undefined): Date | undefined {
  return timestamp && timestampDate(timestamp);
}

/** An address without a trailing slash. Throws if it is not an absolute HTTP address. */
export function toBaseUrl(field: string, value: string | URL): string {
  let url: URL;
  try {
    url = new URL(value);
  } catch (cause) {
    throw invalidArgument(field, `not an absolute URL such as http://localhost:4000 (${cause})`);
  }
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw invalidArgument(field, 'must begin with http:// or https://');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw invalidArgument(field, 'must have no user name, query or fragment');
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** Throws unless it names a transport, or nothing. */
export function checkTransport(transport: unknown): 'websocket' | 'http' | undefined {
  if (transport === undefined || transport === 'websocket' || transport === 'http')
    return transport;
  throw invalidArgument('transport', "must be 'websocket' or 'http'");
}
