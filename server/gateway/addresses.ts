import { isIPv4 } from 'node:net';
import type { GatewayConfig } from './config.ts';

/** The addresses that the gateway goes by, from its settings and the port it got. */
export type Addresses = {
  /** Canonical address, without a slash at its end. */
  readonly publicUrl: string;
  readonly appOrigin: string;
  readonly allowedOrigins: readonly string[];
  readonly allowedHosts: readonly string[];
  readonly previewDomain: string;
};

const LOOPBACK: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1', '[::1]']);

/** Fills in what the settings left open. */
export function resolveAddresses(config: GatewayConfig, port: number): Addresses {
  const publicUrl = config.publicUrl ?? `${config.tls ? 'https' : 'http'}://localhost:${port}`;
  const appOrigin = config.appOrigin ?? new URL(publicUrl).origin;
  return {
    publicUrl,
    appOrigin,
    allowedOrigins: config.allowedOrigins ?? [appOrigin],
    allowedHosts: config.allowedHosts ?? [new URL(publicUrl).host],
    previewDomain: config.previewDomain,
  };
}

/** Whether only this machine can reach the gateway, as far as its settings tell. */
export function isLoopbackOnly(config: GatewayConfig): boolean {
  const names = [
    ...config.hosts,
    ...(config.publicUrl ? [new URL(config.publicUrl).hostname] : []),
  ];
  return names.every((name) => LOOPBACK.has(name) || (isIPv4(name) && name.startsWith('127.')));
}

/** Whether browsers trust this name without TLS, because it never leaves the machine. */
export function isTrustworthyName(hostname: string): boolean {
  return LOOPBACK.has(hostname) || hostname.endsWith('.localhost');
}
