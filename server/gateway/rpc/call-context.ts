import { createContextKey, createContextValues, type HandlerContext } from '@connectrpc/connect';
import type { AuditClient } from '../../core/audit.ts';
import type { ClientAddress } from '../../core/client-address.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { HttpRequest } from '../../rpc/connect-node.ts';
import type { Caller } from '../auth/caller.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import { sandboxOfRequest } from '../http/sandbox-of-request.ts';

/** Who makes the call. Undefined before authentication, and for methods that need none. */
export const CALLER = createContextKey<Caller | undefined>(undefined);
/** The sandbox below whose address the call was made. */
export const SANDBOX_ID = createContextKey<string | undefined>(undefined);

/** Which client makes the call. */
export const CLIENT = createContextKey<(() => ClientAddress) | undefined>(undefined);

/** What is known of a call from its HTTP request. */
export function contextOf(request: HttpRequest, clients: ClientAddresses) {
  return createContextValues()
    .set(SANDBOX_ID, sandboxOfRequest(request))
    .set(CLIENT, () => clients.of(request));
}

/** What is known of a call on a WebSocket to a sandbox. */
export function socketContext(sandboxId: string, client: () => ClientAddress) {
  return createContextValues().set(SANDBOX_ID, sandboxId).set(CLIENT, client);
}

/** The caller of a method that needs a credential. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(CALLER);
  if (!caller) throw new DomainError('INTERNAL', 'the call was not authenticated');
  return caller;
}

/** The owner of a workspace, for a method that only an API key may call. */
export function ownerOf(context: HandlerContext): {
  workspaceId: string;
  principalId: string;
  client: AuditClient;
} {
  const caller = callerOf(context);
  if (caller.kind !== 'api_key') throw new DomainError('INTERNAL', 'the call was not authorized');
  const { workspaceId, principal } = caller;
  return { workspaceId, principalId: principal.id, client: auditClientOf(context) };
}

/** What the audit log says of a call's client. */
export function auditClientOf({ values, requestHeader }: HandlerContext): AuditClient {
  const client = values.get(CLIENT)?.();
  const origin = requestHeader.get('origin');
  return { ...(client && { address: client.address }), ...(origin !== null && { origin }) };
}
