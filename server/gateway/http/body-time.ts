import type { HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import { reset } from '../../rpc/reset.ts';

/** How long a request's body may take, in milliseconds: cut within 15 s. Over HTTP/1.1 the listener's own limit does the same. */
const MAX_BODY_MS = 13_000;

/** Resets an HTTP/2 call whose request does not arrive in time. */
export function limitBodyTime(request: HttpRequest, response: HttpResponse): void {
  if (!('stream' in request) || request.stream.endAfterHeaders || request.complete) return;
  const timer = setTimeout(() => reset(response), MAX_BODY_MS);
  const stop = () => clearTimeout(timer);
  request.once('end', stop);
  request.stream.once('close', stop);
}
