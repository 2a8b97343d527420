import { timestampMs } from '@bufbuild/protobuf/wkt';
import { SessionTokenKind } from '../../gen/computesdk/v1/session_token_pb.ts';
import { type GatewayClients, gatewayClients, terminalClient } from './clients.ts';
import type { TestGateway } from './gateway.ts';
import { postAs } from './raw-http.ts';

/** A token, and who it is for. */
export type IssuedToken = {
  readonly id: string;
  readonly text: string;
  readonly sandboxId: string;
  /** In milliseconds since the epoch. */
  readonly expiresAt: number;
};

/** Prints one word, and lines of 1 KiB without end as soon as {@link AccessStage.flood} says so. */
export const FLOOD = `echo ready; while [ ! -e /project/flood ]; do sleep 0.1; done; exec yes ${'x'.repeat(1_023)}`;
/** Prints one word and waits. */
export const QUIET = 'echo ready; exec sleep 1000';

/** A sandbox whose access is given and taken with the API key. */
export class AccessStage {
  readonly url: string;
  readonly sandboxId: string;
  readonly clients: GatewayClients;
  readonly #apiKey: string;

  private constructor(gateway: TestGateway, sandbox: { id: string; url: string }) {
    this.clients = gatewayClients(gateway);
    this.#apiKey = gateway.apiKey;
    this.url = sandbox.url;
    this.sandboxId = sandbox.id;
  }

  static async open(gateway: TestGateway): Promise<AccessStage> {
    const { sandbox } = await gatewayClients(gateway).sandboxes.createSandbox({});
    if (!sandbox) throw new Error('CreateSandbox returned none');
    return new AccessStage(gateway, sandbox);
  }

  /** Starts a program of the shell. Resolves with its terminal's id. */
  async terminal(program: string): Promise<string> {
    const client = terminalClient(this.url, this.#apiKey);
    const { terminal } = await client.createTerminal({
      ...{ shell: '/bin/sh', args: ['-c', program], pty: false },
    });
    if (!terminal) throw new Error('CreateTerminal returned none');
    return terminal.id;
  }

  /** Lets every terminal that runs {@link FLOOD} print. */
  async flood(): Promise<void> {
    await this.terminal(': > /project/flood');
  }

  async destroyTerminal(terminalId: string): Promise<void> {
    await terminalClient(this.url, this.#apiKey).destroyTerminal({ terminalId });
  }

  async token(seconds = 3_600): Promise<IssuedToken> {
    const { sandboxId } = this;
    const answer = await this.clients.tokens.createSessionToken({
      ...{ sandboxId, expiresIn: { seconds: BigInt(seconds), nanos: 0 } },
    });
    const { sessionToken, token: text } = answer;
    if (!sessionToken?.expiresAt) throw new Error('CreateSessionToken returned none');
    const expiresAt = timestampMs(sessionToken.expiresAt);
    return { id: sessionToken.id, text, sandboxId, expiresAt };
  }

  /** A new magic link. */
  async link(): Promise<{ readonly id: string; readonly url: string }> {
    const create = `${new URL(this.url).origin}/computesdk.v1.MagicLinkService/CreateMagicLink`;
    const { body } = await postAs(this.#apiKey, create, { sandboxId: this.sandboxId });
    // The answer of CreateMagicLink, or that of an error, which has neither.
    const { magicLink, url } = body as { magicLink?: { id: string }; url?: string };
    if (!magicLink || url === undefined) throw new Error(`no link: ${JSON.stringify(body)}`);
    return { id: magicLink.id, url };
  }

  /** Presses the button of a link. Resolves with the cookie that the browser gets, if it gets one. */
  async press(url: string): Promise<string | undefined> {
    const { origin } = new URL(this.url);
    const request = { method: 'POST', headers: { origin }, redirect: 'manual' } as const;
    const answer = await fetch(url, request);
    await answer.arrayBuffer();
    return answer.headers.get('set-cookie')?.split(';', 1)[0];
  }

  /** Signs a browser in by a magic link. Resolves with what its pages send, and with its token's id. */
  async signIn(): Promise<{ readonly headers: Record<string, string>; readonly tokenId: string }> {
    const { sandboxId } = this;
    const { origin } = new URL(this.url);
    const cookie = await this.press((await this.link()).url);
    if (cookie === undefined) throw new Error('the link signed nobody in');
    const { sessionTokens } = await this.clients.tokens.listSessionTokens({ sandboxId });
    const token = sessionTokens.findLast(({ kind }) => kind === SessionTokenKind.MAGIC_LINK);
    if (!token) throw new Error('the browser has no token');
    return { headers: { cookie, origin }, tokenId: token.id };
  }

  /** Resolves with the moment at which the answer arrived. */
  async revoke({ id: sessionTokenId, sandboxId }: IssuedToken): Promise<number> {
    await this.clients.tokens.revokeSessionToken({ sandboxId, sessionTokenId });
    return performance.now();
  }

  /** Resolves with the moment at which the answer arrived. */
  async revokeAll(): Promise<number> {
    await this.clients.tokens.revokeAllSessionTokens({ sandboxId: this.sandboxId });
    return performance.now();
  }

  async destroy(): Promise<void> {
    await this.clients.sandboxes.destroySandbox({ sandboxId: this.sandboxId });
  }
}

/** The header of a bearer credential. */
export function asBearer({ text }: IssuedToken): Record<string, string> {
  return { authorization: `Bearer ${text}` };
}

/** The value below which this share of the values lie, for example 0.99. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
