import type { LogLevel } from '../core/log.ts';

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
