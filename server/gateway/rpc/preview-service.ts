import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import type { PreviewService } from '../../../gen/computesdk/v1/preview_service_pb.ts';
import { checkPort } from '../../core/bounds.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import { authorize } from '../auth/authorize.ts';
import type { PreviewPort } from '../auth/preview-pass.ts';
import type { Previews } from '../auth/previews.ts';
import { isPublicPort } from '../sandbox/sandbox.ts';
import type { Sandboxes } from '../sandbox/sandbox-service.ts';
import { callerOf, SANDBOX_ID } from './call-context.ts';

export type PreviewServiceOptions = {
  readonly previews: Previews;
  readonly sandboxes: Pick<Sandboxes, 'requireForCall'>;
  /** The address of a preview, with the ticket that opens it. */
  readonly previewUrl: (at: PreviewPort, ticket?: string) => string;
  /** Why there are no previews. Undefined: there are. */
  readonly previewsUnavailable: () => string | undefined;
};

/** Serves `computesdk.v1.PreviewService`. */
export function previewService(options: PreviewServiceOptions): ServiceImpl<typeof PreviewService> {
  const { previews, sandboxes, previewUrl, previewsUnavailable } = options;
  return {
    async createPreviewUrl(request, context) {
      const caller = callerOf(context);
      const own = caller.kind === 'session_token' ? caller.sandboxId : undefined;
      const sandboxId = request.sandboxId || (context.values.get(SANDBOX_ID) ?? own);
      if (sandboxId === undefined) throw invalidArgument('sandboxId', 'names no sandbox');
      authorize(caller, { kind: 'scope', scope: 'preview:read' }, sandboxId);
      const sandbox = sandboxes.requireForCall(sandboxId, caller);
      const at = { sandboxId, port: checkPort('port', request.port) };
      const problem = previewsUnavailable();
      if (problem !== undefined) throw new DomainError('FAILED_PRECONDITION', problem);
      if (isPublicPort(sandbox, at.port)) return { url: previewUrl(at) };
      const { ticket, expiresAt } = await previews.createTicket(caller, at);
      return { url: previewUrl(at, ticket), expiresAt: timestampFromMs(expiresAt) };
    },
  };
}
