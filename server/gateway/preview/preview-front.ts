import type { Socket } from 'node:net';
import { DomainError } from '../../core/domain-error.ts';
import type { Logger } from '../../core/log.ts';
import type { HttpHandler, HttpRequest, HttpResponse } from '../../rpc/connect-node.ts';
import type { Authentication } from '../auth/authentication.ts';
import type { PreviewPort } from '../auth/preview-pass.ts';
import { sendPage } from '../http/html-page.ts';
import type { UpgradeHandler } from '../http/upgrade.ts';
import type { LiveCallRegistry } from '../proxy/live-call-registry.ts';
import { type Admission, type AdmissionOptions, admit } from './admission.ts';
import type { CredentialSpotter } from './credential-spotter.ts';
import type { RewriteOptions } from './headers.ts';
import { failurePage, malformedPage } from './preview-pages.ts';
import { PreviewRequest } from './preview-request.ts';
import { onlyWebSockets, PreviewSocket, refuseUpgrade } from './preview-socket.ts';
import { type FindEndpoint, Tunnels } from './tunnels.ts';

export type PreviewFrontOptions = AdmissionOptions & {
  readonly endpoint: FindEndpoint;
  readonly spotter: CredentialSpotter;
  readonly hostOf: RewriteOptions['hostOf'];
  readonly calls: LiveCallRegistry;
  readonly authentication: Pick<Authentication, 'assertStillValid'>;
  readonly log: Logger;
};

/** What is to be served at the hosts of previews, and nothing else is. */
export type PreviewFront = {
  /** Serves what `others` must not see, because it is for a preview. */
  readonly before: (others: HttpHandler) => HttpHandler;
  /** The same for changes of protocol. */
  readonly beforeUpgrade: (others: UpgradeHandler) => UpgradeHandler;
  /** Ends every connection into a sandbox. End the calls first. */
  close(): void;
};

type LetIn = Extract<Admission, { kind: 'let in' }>;
/** What runs on behalf of a viewer and ends with their access. */
type Task = { start(): void; end(cause: DomainError): void };

/** Puts the host names, the way in and the way through together. */
export function createPreviewFront(options: PreviewFrontOptions): PreviewFront {
  const tunnels = new Tunnels(options.endpoint);
  return {
    before: (others) => (request, response) => {
      const at = options.hosts.match(request);
      if (at === undefined) others(request, response);
      else void serve(options, tunnels, { request, response, at });
    },
    beforeUpgrade: (others) => (request, stream, head, onSpoke) => {
      const at = options.hosts.match(request);
      if (at === undefined) {
        others(request, stream, head, onSpoke);
        return;
      }
      // A connection that a listener accepted.
      const socket = stream as Socket;
      socket.on('error', () => {});
      if (at === 'malformed') refuseUpgrade(socket, noSuchHost());
      else if (request.headers.upgrade?.toLowerCase() !== 'websocket' || request.method !== 'GET') {
        refuseUpgrade(socket, onlyWebSockets());
      } else void connect(options, tunnels, { request, socket, head, at, onSpoke });
    },
    close: () => tunnels.close(),
  };
}

async function serve(
  options: PreviewFrontOptions,
  tunnels: Tunnels,
  call: {
    readonly request: HttpRequest;
    readonly response: HttpResponse;
    readonly at: PreviewPort | 'malformed';
  },
): Promise<void> {
  const { request, response, at } = call;
  // Without a listener, an error of a connection would end the process.
  request.on('error', () => {});
  response.on('error', () => {});
  if (at === 'malformed') {
    sendPage(request, response, noSuchHost());
    return;
  }
  try {
    const admission = await admit(options, request, at);
    if (response.destroyed || response.writableEnded) return;
    if (admission.kind === 'let in') {
      const start = options.clock.monotonic();
      const { clients, log, clock } = options;
      const client = clients.of(request).address;
      register(options, at, admission, (release) => {
        const onClose = (outcome: string) => {
          release();
          const durationMs = Math.round(clock.monotonic() - start);
          log.debug('preview', { outcome, durationMs, ...at });
        };
        const { viewerId, target } = admission;
        const parts = { ...options, at, tunnels, viewerId, target, client, onClose };
        return new PreviewRequest({ ...parts, request, response });
      });
      return;
    }
    answer(request, response, admission);
  } catch (error) {
    fail(options, error);
    if (response.headersSent) return;
    sendPage(request, response, failurePage(error, at.port));
  }
}

function answer(
  request: HttpRequest,
  response: HttpResponse,
  admission: Exclude<Admission, LetIn>,
): void {
  response.setHeader('Cache-Control', 'no-store');
  response.setHeader('Referrer-Policy', 'no-referrer');
  if (admission.kind === 'refused') {
    sendPage(request, response, admission.page);
    return;
  }
  response.statusCode = 303;
  response.setHeader('Location', admission.location);
  if (admission.cookies.length > 0) response.setHeader('Set-Cookie', [...admission.cookies]);
  response.setHeader('Content-Length', 0);
  response.end();
}

async function connect(
  options: PreviewFrontOptions,
  tunnels: Tunnels,
  call: Omit<
    ConstructorParameters<typeof PreviewSocket>[0],
    'tunnels' | 'viewerId' | 'target' | 'client' | 'onClose' | 'hosts' | 'hostOf' | 'spotter'
  > & {
    readonly onSpoke: () => void;
  },
): Promise<void> {
  const { request, socket, at } = call;
  try {
    const admission = await admit(options, request, at);
    if (socket.destroyed) return;
    if (admission.kind === 'refused') {
      refuseUpgrade(socket, admission.page);
      return;
    }
    if (admission.kind === 'redirect') {
      refuseUpgrade(socket, onlyWebSockets());
      return;
    }
    call.onSpoke();
    const { viewerId, target } = admission;
    const client = options.clients.of(request).address;
    register(
      options,
      at,
      admission,
      (onClose) =>
        new PreviewSocket({ ...options, ...call, tunnels, viewerId, target, client, onClose }),
    );
  } catch (error) {
    fail(options, error);
    refuseUpgrade(socket, failurePage(error, at.port));
  }
}

/** Makes a task one that ends with the viewer's access, and starts it. Throws what ended that already, or LIMIT_REACHED. */
function register(
  options: PreviewFrontOptions,
  { sandboxId }: PreviewPort,
  { viewerId, caller, expiresAt }: LetIn,
  make: (release: () => void) => Task,
): void {
  let task: Task | undefined;
  let ended: DomainError | undefined;
  const place = options.calls.open({
    ...{ kind: 'preview', sandboxId, principalId: caller?.principal.id ?? viewerId },
    ...(expiresAt !== undefined && { expiresAt }),
    end: (cause) => {
      if (task) task.end(cause);
      else ended = cause;
    },
  });
  const release = place.leave;
  try {
    place.enter();
    // Sees a revocation that happened while the viewer was being let in.
    if (caller) options.authentication.assertStillValid(caller, options.clock.now());
    if (ended) throw ended;
  } catch (error) {
    release();
    throw error;
  }
  task = make(release);
  task.start();
}

function noSuchHost() {
  return malformedPage(
    'The host of a preview is a port from 1 to 65535, a dash and the id of a sandbox.',
  );
}

function fail({ log }: PreviewFrontOptions, error: unknown): void {
  if (!(error instanceof DomainError)) log.error('preview failed', { error });
}
