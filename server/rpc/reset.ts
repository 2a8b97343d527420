import { constants } from 'node:http2';
import type { HttpResponse } from './connect-node.ts';

/**
 * Ends an answer at once, in a way that no client takes for its proper end. What was not sent yet is
 * dropped.
 */
export function reset(response: HttpResponse): void {
  // Destroying an HTTP/2 response would reset its stream with NO_ERROR, which reads like an end.
  if ('stream' in response) response.stream?.close(constants.NGHTTP2_CANCEL);
  else response.destroy();
}
