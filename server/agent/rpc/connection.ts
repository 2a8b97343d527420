import type { IncomingMessage } from 'node:http';
import { type ContextValues, createContextKey, createContextValues } from '@connectrpc/connect';

/** Cuts the connection of a call, for one that takes nothing and so cannot be told anything. */
export const disconnectKey = createContextKey<() => void>(() => {}, { description: 'disconnect' });

/** The context values of a request. */
export function connectionValues(request: Pick<IncomingMessage, 'socket'>): ContextValues {
  return createContextValues().set(disconnectKey, () => request.socket.destroy());
}
