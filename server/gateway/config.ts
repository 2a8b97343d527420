import { isIP } from 'node:net';
import { resolve } from 'node:path';
import { DomainError } from '../core/domain-error.ts';
import { LOG_LEVELS, type LogLevel } from '../core/log.ts';
import type { SettingName } from './settings.ts';

/** What the gateway runs with. {@link readConfig} makes it from the environment. */
export type GatewayConfig = {
  /** Addresses to listen on. Default: 127.0.0.1 and ::1. */
  readonly hosts: readonly string[];
  /** 0 picks a free port. */
  readonly port: number;
  /** Canonical address, without a slash at its end. Absent: `http(s)://localhost:<port>`. */
  readonly publicUrl?: string;
  /** Absolute path. */
  readonly dataDirectory: string;
  /** Absent: generated at the first start. */
  readonly apiKey?: string;
  /** Origin where relative redirects lead. Absent: the public URL's. */
  readonly appOrigin?: string;
  /** Exact origins that may call with cookies. Absent: the app origin. */
  readonly allowedOrigins?: readonly string[];
  /** Host names, with a port where it matters, in lower case. Absent: the public URL's host. */
  readonly allowedHosts?: readonly string[];
  /** CIDR blocks whose X-Forwarded-For counts. */
  readonly trustedProxies: readonly string[];
  readonly previewDomain: string;
  /** Absent: the best that works. */
  readonly driver?: DriverName;
  /** Absent: `nat` if it can be had, else `none`. */
  readonly egress?: EgressName;
  /** Allows the `process` driver on other addresses, with cookies and previews. */
  readonly unsafe: boolean;
  /** Host uids of boxes when the gateway runs as root, both ends included. */
  readonly uidRange: { readonly first: number; readonly last: number };
  /** Whether a start prints a link that opens a terminal. Absent: to a person, or where only this machine can use it. */
  readonly printLink?: boolean;
  /** How long an agent lives without a gateway, in milliseconds. */
  readonly agentGraceMs: number;
  /** Files with the certificate chain and its key. Absent: cleartext. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
  readonly logLevel: LogLevel;
};

/** A way to box a sandbox. */
export type DriverName = 'bubblewrap' | 'process';
/** What a box may reach. */
export type EgressName = 'none' | 'nat' | 'host';

/** Where settings come from, for example `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>;

const DRIVERS: readonly DriverName[] = ['bubblewrap', 'process'];
const EGRESSES: readonly EgressName[] = ['none', 'nat', 'host'];
const DEFAULT_PORT = 4000;
const DEFAULT_UIDS = { first: 70_000, last: 79_999 };
/** Below are the users of the system, and of programs that the host's administrator installed. */
const MIN_UID = 10_000;
/** The last uid that is not a sign for "nobody" in some kernel. */
const MAX_UID = 2 ** 31 - 2;
const DEFAULT_GRACE_SECONDS = 600;
const MAX_GRACE_SECONDS = 24 * 60 * 60;
const MIN_API_KEY_CHARS = 8;
const MAX_API_KEY_CHARS = 512;
/** A host name or address, with or without a port. */
const HOST_FORM = /^(\[[0-9a-f:.]+\]|[a-z0-9]([a-z0-9.-]*[a-z0-9])?)(:\d{1,5})?$/;

/** Reads the settings. An empty one counts as absent. Throws BAD_SETTING for a bad one. */
export function readConfig(environment: Environment, directory: string): GatewayConfig {
  const read = (name: SettingName) => environment[name]?.trim() || undefined;
  const publicUrl = optional(read('COMPUTESDK_PUBLIC_URL'), readPublicUrl);
  const apiKey = optional(read('COMPUTESDK_API_KEY'), readApiKey);
  const appOrigin = optional(read('COMPUTESDK_APP_ORIGIN'), (text) =>
    readOrigin('COMPUTESDK_APP_ORIGIN', text),
  );
  const allowedOrigins = optional(read('COMPUTESDK_ALLOWED_ORIGINS'), (text) =>
    readList(text).map((origin) => readOrigin('COMPUTESDK_ALLOWED_ORIGINS', origin)),
  );
  const allowedHosts = optional(read('COMPUTESDK_ALLOWED_HOSTS'), (text) =>
    readList(text).map(readHost),
  );
  const driver = optional(read('COMPUTESDK_DRIVER'), (text) =>
    readChoice('COMPUTESDK_DRIVER', text, DRIVERS),
  );
  const egress = optional(read('COMPUTESDK_EGRESS'), (text) =>
    readChoice('COMPUTESDK_EGRESS', text, EGRESSES),
  );
  const tls = readTls(read('COMPUTESDK_TLS_CERT'), read('COMPUTESDK_TLS_KEY'), directory);
  const printLink = optional(read('COMPUTESDK_PRINT_LINK'), (text) =>
    readSwitch('COMPUTESDK_PRINT_LINK', text),
  );
  const logLevel = read('COMPUTESDK_LOG_LEVEL');
  return {
    hosts: optional(read('HOST'), (text) => readList(text).map(readAddress)) ?? [
      '127.0.0.1',
      '::1',
    ],
    port: optional(read('PORT'), readPort) ?? DEFAULT_PORT,
    dataDirectory: resolve(directory, read('COMPUTESDK_DATA_DIR') ?? '.computesdk'),
    trustedProxies:
      optional(read('COMPUTESDK_TRUSTED_PROXIES'), (text) => readList(text).map(readBlock)) ?? [],
    previewDomain: optional(read('COMPUTESDK_PREVIEW_DOMAIN'), readDomain) ?? 'localhost',
    unsafe: readSwitch('COMPUTESDK_UNSAFE', read('COMPUTESDK_UNSAFE') ?? 'off'),
    uidRange: optional(read('COMPUTESDK_UID_RANGE'), readUidRange) ?? DEFAULT_UIDS,
    agentGraceMs:
      1000 * (optional(read('COMPUTESDK_AGENT_GRACE'), readGrace) ?? DEFAULT_GRACE_SECONDS),
    logLevel:
      logLevel === undefined ? 'info' : readChoice('COMPUTESDK_LOG_LEVEL', logLevel, LOG_LEVELS),
    ...(publicUrl !== undefined && { publicUrl }),
    ...(apiKey !== undefined && { apiKey }),
    ...(appOrigin !== undefined && { appOrigin }),
    ...(allowedOrigins && { allowedOrigins }),
    ...(allowedHosts && { allowedHosts }),
    ...(driver && { driver }),
    ...(egress && { egress }),
    ...(tls && { tls }),
    ...(printLink !== undefined && { printLink }),
  };
}

function optional<T>(text: string | undefined, read: (text: string) => T): T | undefined {
  return text === undefined ? undefined : read(text);
}

function badSetting(name: SettingName, problem: string): DomainError {
  return new DomainError('BAD_SETTING', `${name}: ${problem}`, { field: name });
}

function readList(text: string): string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function readChoice<T extends string>(name: SettingName, text: string, choices: readonly T[]): T {
  const choice = choices.find((known) => known === text.toLowerCase());
  if (choice !== undefined) return choice;
  throw badSetting(name, `"${text}" is not known; use one of ${choices.join(', ')}`);
}

function readPort(text: string): number {
  const port = readWhole(text);
  if (port !== undefined && port <= 65_535) return port;
  throw badSetting(
    'PORT',
    `"${text}" is no port; use a whole number from 0 (any free port) to 65535`,
  );
}

function readAddress(text: string): string {
  const address = text.replace(/^\[(.*)\]$/, '$1').toLowerCase();
  if (address === 'localhost' || isIP(address) > 0) return address;
  throw badSetting(
    'HOST',
    `"${text}" is no address; use an IP address such as 0.0.0.0 or ::1, or localhost`,
  );
}

function readPublicUrl(text: string): string {
  const url = parseWebUrl('COMPUTESDK_PUBLIC_URL', text);
  if (url.pathname === '/' && url.search === '' && url.hash === '') return url.origin;
  throw badSetting(
    'COMPUTESDK_PUBLIC_URL',
    `"${text}" has a path; use scheme, host and port only, such as ${url.origin}`,
  );
}

function readOrigin(name: SettingName, text: string): string {
  const url = parseWebUrl(name, text);
  if (url.origin === text.toLowerCase().replace(/\/$/, '')) return url.origin;
  throw badSetting(
    name,
    `"${text}" is no origin; use scheme, host and port only, such as ${url.origin}`,
  );
}

function parseWebUrl(name: SettingName, text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url?.protocol === 'http:' || url?.protocol === 'https:';
  if (url && isWeb && url.username === '' && url.password === '') return url;
  throw badSetting(
    name,
    `"${text}" is no web address; use one such as https://sandboxes.example.com`,
  );
}

function readHost(text: string): string {
  const host = text.toLowerCase();
  if (HOST_FORM.test(host)) return host;
  throw badSetting(
    'COMPUTESDK_ALLOWED_HOSTS',
    `"${text}" is no host name; use names such as sandboxes.example.com, without a scheme`,
  );
}

function readDomain(text: string): string {
  const domain = text.toLowerCase();
  if (HOST_FORM.test(domain) && !domain.startsWith('[')) return domain;
  throw badSetting(
    'COMPUTESDK_PREVIEW_DOMAIN',
    `"${text}" is no domain; use one such as preview.example.com`,
  );
}

function readBlock(text: string): string {
  const [address = '', bits, ...rest] = text.split('/');
  const family = isIP(address);
  const length = bits === undefined ? undefined : readWhole(bits);
  const isLength =
    bits === undefined || (length !== undefined && length <= (family === 4 ? 32 : 128));
  if (family > 0 && isLength && rest.length === 0) return text;
  throw badSetting(
    'COMPUTESDK_TRUSTED_PROXIES',
    `"${text}" is no CIDR block; use one such as 10.0.0.0/8 or ::1`,
  );
}

function readSwitch(name: SettingName, text: string): boolean {
  const lower = text.toLowerCase();
  if (['1', 'true', 'yes', 'on'].includes(lower)) return true;
  if (['0', 'false', 'no', 'off'].includes(lower)) return false;
  throw badSetting(name, `"${text}" is neither on nor off; use 1 or 0`);
}

function readUidRange(text: string): { first: number; last: number } {
  const [, start = '', end = ''] = /^(\d{1,10})\s*(?:-|–|:)\s*(\d{1,10})$/.exec(text) ?? [];
  const first = Number(start);
  const last = Number(end);
  if (start !== '' && first >= MIN_UID && last <= MAX_UID && first <= last) return { first, last };
  throw badSetting(
    'COMPUTESDK_UID_RANGE',
    `"${text}" is no range of uids from ${MIN_UID} to ${MAX_UID}; use one such as 70000-79999`,
  );
}

function readGrace(text: string): number {
  const seconds = readWhole(text);
  if (seconds !== undefined && seconds >= 1 && seconds <= MAX_GRACE_SECONDS) return seconds;
  throw badSetting(
    'COMPUTESDK_AGENT_GRACE',
    `"${text}" must be whole seconds from 1 to ${MAX_GRACE_SECONDS}`,
  );
}

function readApiKey(text: string): string {
  const isVisible = /^[\x21-\x7e]+$/.test(text);
  if (isVisible && text.length >= MIN_API_KEY_CHARS && text.length <= MAX_API_KEY_CHARS)
    return text;
  // The value stays out of the message: it is a secret.
  throw badSetting(
    'COMPUTESDK_API_KEY',
    `must have ${MIN_API_KEY_CHARS} to ${MAX_API_KEY_CHARS} characters, all visible ASCII without spaces`,
  );
}

function readTls(certificate: string | undefined, key: string | undefined, directory: string) {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate === undefined) {
    throw badSetting(
      'COMPUTESDK_TLS_CERT',
      'is missing; COMPUTESDK_TLS_KEY is set, and one needs the other',
    );
  }
  if (key === undefined) {
    throw badSetting(
      'COMPUTESDK_TLS_KEY',
      'is missing; COMPUTESDK_TLS_CERT is set, and one needs the other',
    );
  }
  return { certificateFile: resolve(directory, certificate), keyFile: resolve(directory, key) };
}

/** A number written with at most ten digits and nothing else. */
function readWhole(text: string): number | undefined {
  return /^\d{1,10}$/.test(text) ? Number(text) : undefined;
}
