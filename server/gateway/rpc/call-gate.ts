import type { HandlerContext } from '@connectrpc/connect';
import type { Clock } from '../../core/clock.ts';
import type { Authentication } from '../auth/authentication.ts';
import { authorize, refuseApiKeyFromBrowser } from '../auth/authorize.ts';
import { CALLER, CLIENT, SANDBOX_ID } from './call-context.ts';
import type { CallLog } from './call-log.ts';
import { accessOf } from './method-access.ts';

export type CallGateOptions = {
  readonly authentication: Authentication;
  readonly clock: Clock;
  readonly callLog: CallLog;
};

/** Lets a call pass whose credential allows its method, before anything of its body is read. */
export function callGate(options: CallGateOptions): (context: HandlerContext) => Promise<void> {
  const { authentication, clock, callLog } = options;
  return async (context) => {
    const { method, requestHeader, values } = context;
    try {
      const access = accessOf(method);
      if (!access) return;
      const client = values.get(CLIENT);
      const credentials = {
        authorization: requestHeader.get('authorization') ?? undefined,
        cookie: requestHeader.get('cookie') ?? undefined,
        origin: requestHeader.get('origin') ?? undefined,
        sandboxId: values.get(SANDBOX_ID),
        ...(client && { client }),
      };
      const caller = await authentication.authenticate(credentials, clock.now());
      values.set(CALLER, caller);
      refuseApiKeyFromBrowser(caller, requestHeader.get('origin'));
      authorize(caller, access, values.get(SANDBOX_ID));
    } catch (error) {
      throw callLog.refused(context, error);
    }
  };
}
