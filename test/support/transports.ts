import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { isSoak } from './scale.ts';

/** How the SDK's calls may travel. The default first. */
export const TRANSPORTS: readonly TransportKind[] = ['websocket', 'http'];

/** A count for one transport: all of it for the default and in the soak, half of it otherwise. */
export function shareOf(count: number, transport: TransportKind): number {
  return isSoak || transport === 'websocket' ? count : Math.ceil(count / 2);
}
