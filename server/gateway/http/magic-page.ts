import type { Clock } from '../../core/clock.ts';
import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import type { LinkRedemption, RedemptionOutcome } from '../auth/link-redemption.ts';
import { newSalt } from '../auth/link-secrets.ts';
import type { LinkEndReason, MagicLink } from '../auth/magic-link.ts';
import type { MagicLinks } from '../auth/magic-links.ts';
import { nonceCookie, readNonceCookie, sessionCookie } from '../auth/session-cookie.ts';
import type { AddressLimiter } from './address-limiter.ts';
import { canonicalAddress } from './canonical-address.ts';
import type { ClientAddresses } from './client-address.ts';
import { type HtmlPage, html, htmlPage, sendPage } from './html-page.ts';

/** Where the addresses of magic links begin. */
export const MAGIC_PREFIX = '/magic/';

export type MagicPageOptions = {
  readonly links: Pick<MagicLinks, 'look'>;
  readonly redemption: Pick<LinkRedemption, 'redeem'>;
  /** What people call a sandbox. */
  readonly sandboxName: (sandboxId: string) => string;
  readonly publicUrl: string;
  readonly clients: ClientAddresses;
  /** Limits how often one client asks: nobody needs a credential here. */
  readonly addresses: AddressLimiter;
  readonly clock: Clock;
  readonly log: Logger;
};

/**
 * Serves magic links. GET and HEAD change nothing, whoever sends them: they show a page with one
 * button. Its POST uses the link up. No script is needed, and none would run.
 */
export function createMagicPage(options: MagicPageOptions): HttpHandler {
  return (request, response) => {
    answer(options, request, response).catch((error: unknown) => {
      if (error instanceof DomainError && error.reason === 'RATE_LIMITED') {
        response.setHeader('Retry-After', Math.ceil((error.retryAfterMs ?? 1000) / 1000));
        sendPage(request, response, busyPage());
        return;
      }
      options.log.error('magic link failed', { error });
      sendPage(request, response, failurePage());
    });
  };
}

async function answer(
  options: MagicPageOptions,
  request: HttpRequest,
  response: HttpResponse,
): Promise<void> {
  // A form without fields has no body that would matter.
  request.resume();
  options.addresses.take(options.clients.of(request));
  switch (request.method) {
    case 'GET':
    case 'HEAD':
      return await show(options, request, response);
    case 'POST':
      return await use(options, request, response);
    default:
      response.setHeader('Allow', 'GET, HEAD, POST');
      sendPage(request, response, methodPage());
  }
}

async function show(
  options: MagicPageOptions,
  request: HttpRequest,
  response: HttpResponse,
): Promise<void> {
  const elsewhere = canonicalAddress(request, options.publicUrl);
  if (elsewhere !== undefined) {
    redirect(response, 307, elsewhere);
    return;
  }
  const state = await options.links.look(secretOf(request));
  switch (state.kind) {
    case 'unknown':
      sendPage(request, response, unknownPage());
      return;
    case 'ended':
      sendPage(request, response, endedPage(state.reason));
      return;
    case 'usable':
      if (request.method === 'GET' && nonceOf(request) === undefined) {
        response.setHeader('Set-Cookie', nonceCookie(newSalt()));
      }
      sendPage(request, response, buttonPage(options, state.link));
  }
}

async function use(
  options: MagicPageOptions,
  request: HttpRequest,
  response: HttpResponse,
): Promise<void> {
  if (!isOwnForm(request, options.publicUrl)) {
    sendPage(request, response, foreignFormPage());
    return;
  }
  const { cookie: cookies, origin } = request.headers;
  const client = {
    address: options.clients.of(request).address,
    ...(origin !== undefined && { origin }),
  };
  const outcome = await options.redemption.redeem(secretOf(request), cookies, client);
  logOutcome(options, outcome);
  switch (outcome.kind) {
    case 'unknown':
      sendPage(request, response, unknownPage());
      return;
    case 'ended':
      sendPage(request, response, endedPage(outcome.reason));
      return;
    case 'limit':
      sendPage(request, response, limitPage());
      return;
    case 'signed_in': {
      const { cookie, expiresAt, link } = outcome;
      response.setHeader('Set-Cookie', sessionCookie(cookie, expiresAt, options.clock.now()));
      redirect(response, 303, link.redirectUrl);
    }
  }
}

/**
 * Whether the request comes from our own page. A foreign page could otherwise sign its visitors in
 * to a sandbox of its choice.
 */
function isOwnForm(request: HttpRequest, publicUrl: string): boolean {
  const { origin, 'sec-fetch-site': site } = request.headers;
  if (origin !== undefined) return origin === new URL(publicUrl).origin;
  return site === 'same-origin';
}

function logOutcome(options: MagicPageOptions, outcome: RedemptionOutcome): void {
  const fields =
    outcome.kind === 'signed_in'
      ? {
          principal: outcome.token.id,
          sandboxId: outcome.link.sandboxId,
          linkId: outcome.link.id,
          repeated: outcome.isRepeated,
        }
      : {};
  const reason = outcome.kind === 'ended' ? { reason: outcome.reason } : {};
  options.log.info('magic link', { outcome: outcome.kind, ...reason, ...fields });
}

function redirect(response: HttpResponse, status: 303 | 307, location: string): void {
  response.statusCode = status;
  response.setHeader('Location', location);
  response.end();
}

/** The part of the path that is the secret. Its query, which mail programs add to, means nothing. */
function secretOf(request: HttpRequest): string {
  const [path = ''] = (request.url ?? '').split('?', 1);
  return path.slice(MAGIC_PREFIX.length);
}

function nonceOf(request: HttpRequest): string | undefined {
  const cookie = readNonceCookie(request.headers.cookie);
  return cookie.kind === 'found' && cookie.value !== '' ? cookie.value : undefined;
}

function buttonPage(options: MagicPageOptions, link: MagicLink): HtmlPage {
  const { origin, host } = new URL(link.redirectUrl);
  const name = options.sandboxName(link.sandboxId);
  const leads = origin === options.publicUrl ? html`` : html` and takes you to <b>${host}</b>`;
  return htmlPage({
    title: `Open ${name}`,
    body: html`
<p>This link signs this browser in to the sandbox <b>${name}</b>${leads}. It works once.</p>
${link.description === '' ? html`` : html`<p class="soft">${link.description}</p>`}
<form method="post"><button>Open ${name}</button></form>
`,
    formAction: ["'self'", origin],
    // With no-referrer the form would be sent with `Origin: null`.
    referrerPolicy: 'same-origin',
  });
}

function endedPage(reason: LinkEndReason | 'EXPIRED'): HtmlPage {
  const [title, text] = ENDED[reason];
  return htmlPage({
    status: 410,
    title,
    body: html`<p>${text}</p><p>Ask whoever sent it for a new one.</p>`,
  });
}

const ENDED: Readonly<Record<LinkEndReason | 'EXPIRED', readonly [string, string]>> = {
  USED: [
    'This link was used already',
    'It works once. If it was you who used it, go to the page that it opened.',
  ],
  REVOKED: ['This link was revoked', 'Whoever sent it has withdrawn it.'],
  EXPIRED: ['This link has expired', 'It was not used in time.'],
  DESTROYED: ['This sandbox is gone', 'The sandbox that this link opened was destroyed.'],
};

function unknownPage(): HtmlPage {
  return htmlPage({
    status: 404,
    title: 'This link is unknown',
    body: html`<p>It may be incomplete, or have ended long ago.</p>
<p>Copy it once more as a whole, or ask whoever sent it for a new one.</p>`,
  });
}

function foreignFormPage(): HtmlPage {
  return htmlPage({
    status: 403,
    title: 'Open the link itself',
    body: html`<p>Another page tried to use this link in your name. It was not used.</p>`,
  });
}

function limitPage(): HtmlPage {
  return htmlPage({
    status: 429,
    title: 'Too many are signed in',
    body: html`<p>This sandbox has as many sessions as it can have. The link was not used: try again
later, or ask whoever sent it to revoke some.</p>`,
  });
}

function busyPage(): HtmlPage {
  return htmlPage({
    status: 429,
    title: 'Too many requests',
    body: html`<p>Many requests came from your address. The link was not used: wait a little, and try
again.</p>`,
  });
}

function methodPage(): HtmlPage {
  return htmlPage({
    status: 405,
    title: 'Open the link itself',
    body: html`<p>This address is for GET, HEAD and the button of its page.</p>`,
  });
}

function failurePage(): HtmlPage {
  return htmlPage({
    status: 500,
    title: 'Something went wrong',
    body: html`<p>Try again in a moment. The log of the server has the cause.</p>`,
  });
}
