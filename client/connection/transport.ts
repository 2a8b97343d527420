import type { Interceptor, Transport } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-web';
import type { Credential } from './credential.ts';

/** Makes the transport to everything below an address. */
export type TransportFactory = (
  baseUrl: string,
  credential: Credential,
  interceptors?: readonly Interceptor[],
) => Transport;

/** Calls over fetch(): binary, because JSON costs six times as much. */
export const httpTransport: TransportFactory = (baseUrl, credential, interceptors = []) => {
  const authorize: Interceptor = (next) => (request) => {
    credential.authorize(request.header);
    return next(request);
  };
  return createConnectTransport({
    baseUrl,
    useBinaryFormat: true,
    interceptors: [...interceptors, authorize],
    fetch: (input, init) =>
      globalThis.fetch(input, { ...init, credentials: credential.cookies, cache: 'no-store' }),
  });
};
