import { isId } from '../../core/id.ts';
import type { Logger } from '../../core/log.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import { canonicalAddress } from './canonical-address.ts';
import { type Html, html, htmlPage, sendPage } from './html-page.ts';
import type { WebFile, WebFiles } from './web-files.ts';

/** Where the workspace page is. */
export const WORKSPACE_PATH = '/workspace';

export type WorkspacePageOptions = {
  /** Canonical address of the gateway: the page is served at no other. */
  readonly publicUrl: string;
  /** The built page. Undefined when it was not built. */
  readonly files: WebFiles | undefined;
  /** The id of the newest sandbox that the browser with this Cookie header is signed in to. */
  readonly newestSandbox: (cookieHeader: string | undefined) => Promise<string | undefined>;
  readonly log: Logger;
};

const ASSETS = `${WORKSPACE_PATH}/assets/`;
/**
 * What the page may do. It needs no inline style: the page hands xterm.js's styles to the browser
 * as constructed style sheets.
 */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "font-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/**
 * Serves everything at and below {@link WORKSPACE_PATH}. The page itself is the same for everybody
 * and needs no credential; the calls that it makes do.
 */
export function createWorkspacePage(options: WorkspacePageOptions): HttpHandler {
  return (request, response) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('Allow', 'GET, HEAD');
      const body = html`<p>This address is for GET and HEAD.</p>`;
      sendPage(request, response, htmlPage({ status: 405, title: 'Method not allowed', body }));
      return;
    }
    const target = request.url ?? '';
    const path = target.split('?', 1)[0] ?? '';
    if (path.startsWith(ASSETS)) {
      const asset = options.files?.assets.get(path.slice(ASSETS.length));
      if (asset) sendAsset(request, response, asset);
      else sendNotFound(request, response);
      return;
    }
    const elsewhere = canonicalAddress(request, options.publicUrl);
    if (elsewhere !== undefined) {
      redirect(response, 307, elsewhere);
      return;
    }
    void answerPage(options, request, response, path);
  };
}

async function answerPage(
  options: WorkspacePageOptions,
  request: HttpRequest,
  response: HttpResponse,
  path: string,
): Promise<void> {
  try {
    if (path === WORKSPACE_PATH || path === `${WORKSPACE_PATH}/`) {
      const id = await options.newestSandbox(request.headers.cookie);
      if (id === undefined) sendSignInHelp(request, response, options.publicUrl);
      else redirect(response, 303, `${options.publicUrl}${WORKSPACE_PATH}/${id}`);
    } else if (!isId('sbx', path.slice(WORKSPACE_PATH.length + 1))) {
      sendNotFound(request, response);
    } else if (options.files) {
      sendIndex(request, response, options.files.index);
    } else {
      sendNotBuilt(request, response);
    }
  } catch (error) {
    options.log.error('the workspace page failed', { error });
    const body = html`<p>The gateway's log says why. Try again.</p>`;
    sendPage(request, response, htmlPage({ status: 500, title: 'Something went wrong', body }));
  }
}

function sendIndex(request: HttpRequest, response: HttpResponse, index: WebFile): void {
  response.setHeader('Content-Security-Policy', PAGE_POLICY);
  response.setHeader('Cross-Origin-Opener-Policy', 'same-origin');
  sendFile(request, response, index);
}

function sendAsset(request: HttpRequest, response: HttpResponse, asset: WebFile): void {
  response.setHeader('Cache-Control', 'public, max-age=31536000, immutable');
  sendFile(request, response, asset);
}

function sendFile(request: HttpRequest, response: HttpResponse, file: WebFile): void {
  response.setHeader('Content-Type', file.contentType);
  response.setHeader('Content-Length', file.bytes.byteLength);
  if (request.method === 'HEAD') response.end();
  else response.end(file.bytes);
}

function redirect(response: HttpResponse, status: 303 | 307, location: string): void {
  response.statusCode = status;
  response.setHeader('Location', location);
  response.setHeader('Content-Length', 0);
  response.end();
}

function sendSignInHelp(request: HttpRequest, response: HttpResponse, publicUrl: string): void {
  const title = 'A magic link opens this page';
  sendPage(request, response, htmlPage({ status: 401, title, body: signInHelp(publicUrl) }));
}

function signInHelp(publicUrl: string): Html {
  return html`<p>This browser is not signed in to a sandbox. Open the link that you were sent; it
works once, and only for a short time. If it was used or has expired, ask for a new one.</p>
<p>Whoever runs this gateway makes one in a backend:</p>
<pre>const sandbox = await compute.sandbox.create();
const link = await sandbox.magicLink.create({
  redirectUrl: '${publicUrl}${WORKSPACE_PATH}',
});
console.log(link.url);</pre>
<p class="soft">You did open a link? Then the browser kept no cookie of ${publicUrl}: Safari refuses it
on http addresses. Use another browser, or https.</p>`;
}

function sendNotFound(request: HttpRequest, response: HttpResponse): void {
  const body = html`<p>There is no such page. <a href="${WORKSPACE_PATH}">Your sandbox</a></p>`;
  sendPage(request, response, htmlPage({ status: 404, title: 'Not found', body }));
}

function sendNotBuilt(request: HttpRequest, response: HttpResponse): void {
  const title = 'The page is not built';
  const body = html`<p>Run <code>npm run build:web</code> where the gateway is installed, and start it
again.</p>`;
  sendPage(request, response, htmlPage({ status: 503, title, body }));
}
