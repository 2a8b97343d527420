import type { TransportKind } from '../../client/connection/sandbox-transport.ts';

/** How the SDK's calls may travel. */
export const TRANSPORTS: readonly TransportKind[] = ['websocket', 'http'];
