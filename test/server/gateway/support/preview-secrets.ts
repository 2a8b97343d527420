import type { TestCore } from './test-core.ts';

/** A ticket that was not used, and the cookie that another one became, for who has this session token. */
export async function previewSecrets(
  { access, authenticator, clock }: TestCore,
  sandboxId: string,
  token: string | undefined,
): Promise<{ readonly ticket: string; readonly cookie: string }> {
  const { previews } = access;
  const caller = await authenticator.authenticate(`Bearer ${token}`, clock.now());
  const at = { sandboxId, port: 3000 };
  const { ticket } = await previews.createTicket(caller, at);
  const used = await previews.createTicket(caller, at);
  const redeemed = await previews.redeem(used.ticket, at);
  if (!redeemed) throw new Error('the ticket was worth nothing');
  return { ticket, cookie: redeemed.cookie };
}
