import { createContextKey, createContextValues, type HandlerContext } from '@connectrpc/connect';
import { DomainError } from '../../core/domain-error.ts';
import type { HttpRequest } from '../../rpc/connect-node.ts';
import type { Caller } from '../auth/caller.ts';
import { sandboxOfRequest } from '../http/sandbox-of-request.ts';

/** Who makes the call. Undefined before authentication, and for methods that need none. */
export const CALLER = createContextKey<Caller | undefined>(undefined);
/** The sandbox below whose address the call was made. */
export const SANDBOX_ID = createContextKey<string | undefined>(undefined);

/** What is known of a call from its HTTP request. */
export function contextOf(request: HttpRequest) {
  return createContextValues().set(SANDBOX_ID, sandboxOfRequest(request));
}

/** The caller of a method that needs a credential. */
export function callerOf(context: HandlerContext): Caller {
  const caller = context.values.get(CALLER);
  if (!caller) throw new DomainError('INTERNAL', 'the call was not authenticated');
  return caller;
}

/** The owner of a workspace, for a method that only an API key may call. */
export function ownerOf(context: HandlerContext): { workspaceId: string; principalId: string } {
  const caller = callerOf(context);
  if (caller.kind !== 'api_key') throw new DomainError('INTERNAL', 'the call was not authorized');
  return { workspaceId: caller.workspaceId, principalId: caller.principal.id };
}
