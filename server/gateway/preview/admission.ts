import type { Clock } from '../../core/clock.ts';
import type { HttpRequest } from '../../rpc/connect-node.ts';
import type { Caller } from '../auth/caller.ts';
import type { PreviewPort } from '../auth/preview-pass.ts';
import type { Previews } from '../auth/previews.ts';
import type { AddressLimiter } from '../http/address-limiter.ts';
import type { ClientAddresses } from '../http/client-address.ts';
import type { HtmlPage } from '../http/html-page.ts';
import { previewCookies, readPreviewCookies } from './preview-cookies.ts';
import { type PreviewHosts, splitTicket } from './preview-hosts.ts';
import {
  foreignPage,
  malformedPage,
  signInPage,
  spentPage,
  unavailablePage,
} from './preview-pages.ts';

export type AdmissionOptions = {
  readonly previews: Previews;
  readonly hosts: PreviewHosts;
  /** Why there are no previews. Undefined: there are. */
  readonly unavailable: () => string | undefined;
  readonly isPublic: (at: PreviewPort) => boolean;
  readonly clients: ClientAddresses;
  readonly addresses: AddressLimiter;
  readonly clock: Clock;
};

/** What becomes of a request to a preview. */
export type Admission =
  | {
      readonly kind: 'let in';
      /** Whom the request counts for. Two viewers never share a connection. */
      readonly viewerId: string;
      /** Undefined: whoever looks at a public preview. */
      readonly caller: Caller | undefined;
      /** When it ends. Undefined: with the sandbox. */
      readonly expiresAt: number | undefined;
      /** Path and query, without a ticket. */
      readonly target: string;
    }
  | { readonly kind: 'redirect'; readonly location: string; readonly cookies: readonly string[] }
  | { readonly kind: 'refused'; readonly page: HtmlPage };

/** Decides who may look at a preview. Throws RATE_LIMITED. */
export async function admit(
  options: AdmissionOptions,
  request: HttpRequest,
  at: PreviewPort,
): Promise<Admission> {
  const { previews, hosts, clients, addresses, clock } = options;
  const problem = options.unavailable();
  if (problem !== undefined) return refused(unavailablePage(problem));
  const { target, ticket } = splitTicket(request.url ?? '');
  if (!target.startsWith('/')) return refused(malformedPage('The address has no path.'));
  const redirect = (cookies: readonly string[]): Admission => ({
    ...{ kind: 'redirect', location: `${hosts.originOf(at)}${target}`, cookies },
  });
  const isEntrance = ticket !== undefined && isNavigation(request);
  if (options.isPublic(at)) {
    if (isEntrance) return redirect([]);
    const viewerId = `public ${clients.of(request).bucket}`;
    return { kind: 'let in', viewerId, caller: undefined, expiresAt: undefined, target };
  }
  if (isOfOtherSandbox(request, at, hosts)) return refused(foreignPage());
  addresses.check(clients.of(request));
  if (isEntrance) {
    const access = await previews.redeem(ticket, at);
    const { 'sec-fetch-dest': destination } = request.headers;
    if (access) {
      const times = { expiresAt: access.expiresAt, now: clock.now() };
      return redirect(previewCookies(access.cookie, single(destination), times));
    }
  }
  const viewer = await previews.viewerOf(readPreviewCookies(request.headers.cookie), at);
  if (!viewer) {
    addresses.take(clients.of(request));
    return refused(isEntrance ? spentPage() : signInPage());
  }
  if (isEntrance) return redirect([]);
  const { caller, expiresAt } = viewer;
  return { kind: 'let in', viewerId: caller.principal.id, caller, expiresAt, target };
}

/** Whether a browser goes to this address, rather than looks at it in advance or asks for data. */
function isNavigation(request: HttpRequest): boolean {
  const { 'sec-fetch-mode': mode, 'sec-purpose': purpose, upgrade } = request.headers;
  if (request.method !== 'GET' || upgrade !== undefined || purpose !== undefined) return false;
  return mode === undefined || mode === 'navigate';
}

/** Previews may be same-site with each other, so that browsers send cookies between them. */
function isOfOtherSandbox(request: HttpRequest, at: PreviewPort, hosts: PreviewHosts): boolean {
  const { origin } = request.headers;
  if (origin === undefined || !URL.canParse(origin)) return false;
  const from = hosts.matchName(new URL(origin).hostname);
  return from !== undefined && (from === 'malformed' || from.sandboxId !== at.sandboxId);
}

function single(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function refused(page: HtmlPage): Admission {
  return { kind: 'refused', page };
}
