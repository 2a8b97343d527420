import { DomainError } from '../../core/domain-error.ts';
import { type Html, type HtmlPage, html, htmlPage } from '../http/html-page.ts';
import { PortError } from './tunnel.ts';

/** How often a page that waits for a program looks again, in seconds. */
const REFRESH_SECONDS = 2;

/** For a browser that has nothing which opens this preview. */
export function signInPage(): HtmlPage {
  return page(
    401,
    'This preview is private',
    html`<p>This browser has not been let in, or its access has ended. Open the preview
from the app that shows the sandbox: each address that it makes opens the preview once.</p>
<p class="soft">You did? Then the browser kept no cookie of this host. Safari refuses it on http addresses,
and some browsers refuse it in frames.</p>`,
  );
}

/** For an address that was opened before, or too late. */
export function spentPage(): HtmlPage {
  return page(
    403,
    'This address has been used',
    html`<p>An address of a preview opens it once, within a minute. Go back to the app that
shows the sandbox, and open the preview from there again.</p>`,
  );
}

/** For a page of another sandbox that uses a visitor's access to this one. */
export function foreignPage(): HtmlPage {
  return page(
    403,
    'Not from there',
    html`<p>A page of another sandbox may not use this preview.</p>`,
  );
}

/** For a host that is meant to be a preview's and is none, and for requests that no browser makes. */
export function malformedPage(problem: string): HtmlPage {
  return page(400, 'No such preview', html`<p>${problem}</p>`);
}

/** Where previews cannot be had at all. */
export function unavailablePage(problem: string): HtmlPage {
  return page(403, 'No previews here', html`<p>${problem}</p>`);
}

/** Where there is nothing to show, yet or any more. */
export function failurePage(error: unknown, port: number): HtmlPage {
  if (error instanceof PortError) {
    switch (error.why) {
      case 'nothing listens':
        return waiting(
          `Nothing is listening on ${port} yet`,
          html`<p>As soon as a program in the sandbox listens on port ${port}, it is shown here.
This page looks every ${REFRESH_SECONDS} seconds.</p>`,
        );
      case 'not answering':
        return waiting(
          `Port ${port} does not answer`,
          html`<p>A program listens on port ${port}, and lets nobody in.</p>`,
        );
      case 'old agent':
        return page(
          502,
          'This sandbox is too old',
          html`<p>It was started by an earlier version, which had no previews. Create a new one.</p>`,
        );
    }
  }
  if (error instanceof DomainError) return refusalPage(error);
  return page(
    502,
    `Port ${port} gave no answer`,
    html`<p>The program that listens there ended the connection, or answered with something that is not HTTP.</p>`,
  );
}

function refusalPage({ reason, message }: DomainError): HtmlPage {
  switch (reason) {
    case 'RATE_LIMITED':
      return page(429, 'Too many requests', html`<p>${message}</p>`);
    case 'LIMIT_REACHED':
      return page(503, 'Too many requests at a time', html`<p>${message}</p>`);
    case 'REVOKED':
    case 'EXPIRED':
    case 'DESTROYED':
    case 'NOT_FOUND':
    case 'UNAUTHENTICATED':
      return signInPage();
    default:
      return waiting(
        'The sandbox does not answer',
        html`<p>This page looks again every ${REFRESH_SECONDS} seconds.</p>`,
      );
  }
}

function waiting(title: string, body: Html): HtmlPage {
  const refreshAfterSeconds = REFRESH_SECONDS;
  return htmlPage({ status: 502, title, body, isFramable: true, refreshAfterSeconds });
}

function page(status: number, title: string, body: Html): HtmlPage {
  return htmlPage({ status, title, body, isFramable: true });
}
