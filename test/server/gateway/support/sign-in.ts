import { NEVER, PLAIN_SANDBOX, type TestCore } from './test-core.ts';

/** A request to create a magic link, with nothing asked for. */
export const PLAIN_LINK = { requestId: '', redirectUrl: '', description: '', scopes: [] };

/** A new sandbox and a magic link of it. */
export async function withLink(core: TestCore, request: object = {}) {
  const { id: sandboxId } = await core.sandboxes.create(core.owner, PLAIN_SANDBOX, NEVER);
  const { links } = core.access;
  const { link, secret } = await links.create(core.owner, { ...PLAIN_LINK, sandboxId, ...request });
  return { sandboxId, link, secret };
}

/** The Cookie header of a signed-in browser. */
export function sessionHeader(cookie: string): string {
  return `__Host-computesdk=${cookie}`;
}

/** Uses a link up, as a browser with these cookies. Throws unless it signs in. */
export async function signIn(core: TestCore, secret: string, cookies?: string) {
  const outcome = await core.access.redemption.redeem(secret, cookies);
  if (outcome.kind !== 'signed_in') throw new Error(`not signed in: ${JSON.stringify(outcome)}`);
  return { ...outcome, header: sessionHeader(outcome.cookie) };
}
