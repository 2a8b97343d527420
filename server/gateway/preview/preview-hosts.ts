import { isId } from '../../core/id.ts';
import type { HttpRequest } from '../../rpc/connect-node.ts';
import type { PreviewPort } from '../auth/preview-pass.ts';
import { hostOf } from '../http/host-guard.ts';

/** The parameter that carries a ticket in the address of a preview. */
const TICKET_PARAMETER = 'computesdk_ticket';

/** `<port>-<sandbox id>`, the port in its one canonical spelling. */
const LABEL = /^([1-9]\d{0,4})-(sbx[a-z0-9]+)$/;
/** What is meant to be such a label, in whatever spelling. */
const LIKE_LABEL = /^[^.]*-sbx[^.]*$/;
const MAX_PORT = 65_535;

export type PreviewHostsOptions = {
  /** Canonical address of the gateway: its scheme and port are those of previews. */
  readonly publicUrl: string;
  /** In lower case, with a port where previews are to be had at another one. */
  readonly previewDomain: string;
};

/** Knows the host names of previews. */
export class PreviewHosts {
  readonly #suffix: string;
  readonly #port: string;
  readonly #protocol: string;

  constructor({ publicUrl, previewDomain }: PreviewHostsOptions) {
    const { protocol, port } = new URL(publicUrl);
    const [domain = '', ownPort = port] = previewDomain.split(':');
    this.#suffix = `.${domain}`;
    this.#port = ownPort === '' ? '' : `:${ownPort}`;
    this.#protocol = protocol;
  }

  /** `http` or `https`, as browsers see previews. */
  get scheme(): string {
    return this.#protocol.slice(0, -1);
  }

  /** Why browsers would keep no cookie of a preview. Undefined: they do. */
  get cleartextProblem(): string | undefined {
    const isLocal = this.#suffix.endsWith('.localhost');
    if (this.#protocol === 'https:' || isLocal) return undefined;
    return `previews need TLS: browsers keep no secure cookie of http://…${this.#suffix}. Set COMPUTESDK_TLS_CERT and COMPUTESDK_TLS_KEY, or put a TLS proxy in front, and set COMPUTESDK_PUBLIC_URL to the https address; or use COMPUTESDK_PREVIEW_DOMAIN=localhost`;
  }

  /**
   * Which preview a request is for. `malformed`: its host can only be meant for one, and is none.
   * Undefined: it is for something else.
   */
  match(request: HttpRequest): PreviewPort | 'malformed' | undefined {
    const host = hostOf(request);
    if (typeof host !== 'string') return undefined;
    const [name = '', port = '0', ...more] = host.split(':');
    // What is left of it is no host at all, which others answer.
    if (more.length > 0 || !/^\d{1,5}$/.test(port) || Number(port) > MAX_PORT) return undefined;
    return this.matchName(name);
  }

  /** As {@link match}, for a host name in lower case, without a port. */
  matchName(name: string): PreviewPort | 'malformed' | undefined {
    if (!name.endsWith(this.#suffix)) return undefined;
    const label = name.slice(0, -this.#suffix.length);
    const [, port = '', sandboxId = ''] = LABEL.exec(label) ?? [];
    if (isId('sbx', sandboxId) && Number(port) <= MAX_PORT)
      return { sandboxId, port: Number(port) };
    return LIKE_LABEL.test(label) ? 'malformed' : undefined;
  }

  /** The host name of a preview, without a port. */
  nameOf({ sandboxId, port }: PreviewPort): string {
    return `${port}-${sandboxId}${this.#suffix}`;
  }

  /** The origin of a preview. */
  originOf(at: PreviewPort): string {
    return `${this.#protocol}//${this.nameOf(at)}${this.#port}`;
  }

  /** The address of a preview, with a ticket that opens it. */
  urlOf(at: PreviewPort, ticket?: string): string {
    return `${this.originOf(at)}/${ticket === undefined ? '' : `?${TICKET_PARAMETER}=${ticket}`}`;
  }
}

/** Takes the ticket out of a request's target: what the program in the sandbox gets to see, and the ticket. */
export function splitTicket(target: string): { target: string; ticket: string | undefined } {
  const question = target.indexOf('?');
  if (question < 0 || !target.includes(TICKET_PARAMETER)) return { target, ticket: undefined };
  let ticket: string | undefined;
  const kept = target
    .slice(question + 1)
    .split('&')
    .filter((pair) => {
      const [name, value = ''] = pair.split('=', 2);
      if (name !== TICKET_PARAMETER) return true;
      ticket ??= value;
      return false;
    });
  const path = target.slice(0, question);
  return { target: kept.length === 0 ? path : `${path}?${kept.join('&')}`, ticket };
}
