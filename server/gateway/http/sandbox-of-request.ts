import type { HttpRequest } from '../../rpc/connect-node.ts';

const sandboxes = new WeakMap<HttpRequest, string>();

/** Notes that a request was made below a sandbox's address, by a caller who may open that sandbox. */
export function setSandboxOfRequest(request: HttpRequest, sandboxId: string): void {
  sandboxes.set(request, sandboxId);
}

/** The sandbox below whose address a request was made. Undefined at the gateway's root. */
export function sandboxOfRequest(request: HttpRequest): string | undefined {
  return sandboxes.get(request);
}
