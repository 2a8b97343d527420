import { expect } from 'vitest';
import type { ConnectionState } from '../../../client/connection/connection-state.ts';
import type { TokenFunction, TokenReason } from '../../../client/connection/token-function.ts';
import type { Sandbox } from '../../../client/sandbox.ts';
import type { Terminal } from '../../../client/terminal.ts';
import { settle } from './fake-clock.ts';
import { FakeGateway } from './fake-gateway.ts';
import type { FakeTerminal } from './fake-terminal.ts';
import { FakeTokens } from './fake-tokens.ts';

export const MINUTE = 60_000;

/** A terminal that is watched while its credential changes. */
export class TokenScene {
  readonly gateway = new FakeGateway();
  readonly clock = this.gateway.clock;
  readonly tokens = new FakeTokens(this.clock);
  /** Why the function was called, in order. */
  readonly asked: TokenReason[] = [];
  /** What the application heard beside output. */
  readonly heard: string[] = [];
  readonly states: ConnectionState[] = [];
  shown = '';
  /** What the function gives from its second call on. */
  next: (call: number) => string | Promise<string> = (call) => this.tokens.issue(`token${call}`);
  #sandbox: Sandbox | undefined;

  /** Gives a first token that lives for ten minutes, then what `next` says. */
  readonly giveToken: TokenFunction = ({ reason }) => {
    this.asked.push(reason);
    if (this.asked.length > 1) return this.next(this.asked.length);
    return this.tokens.issue('token1', { lifeMs: 10 * MINUTE });
  };

  /** Connects, by a function that gives tokens if nothing else is said, and attaches a terminal. */
  async start(
    connecting?: Promise<Sandbox>,
  ): Promise<{ sandbox: Sandbox; terminal: Terminal; fake: FakeTerminal }> {
    if (!connecting) this.gateway.tokens = this.tokens;
    const sandbox = await (connecting ?? this.gateway.connectByFunction(this.giveToken));
    this.#sandbox = sandbox;
    sandbox.on('connection', (state) => this.states.push(state));
    sandbox.on('expiring', ({ expiresAt }) => this.heard.push(`expiring ${expiresAt.getTime()}`));
    const terminal = await sandbox.terminal.create();
    terminal.on('output', (text) => {
      this.shown += text;
    });
    terminal.on('gap', ({ from, to }) => this.heard.push(`gap ${from}-${to}`));
    terminal.on('error', ({ code }) => this.heard.push(code));
    await this.clock.advance(0);
    return { sandbox, terminal, fake: this.gateway.lastTerminal };
  }

  /** Disconnects, and expects that nothing is left. */
  async end(): Promise<void> {
    await this.#sandbox?.disconnect();
    await settle();
    expect(this.gateway.network.streams).toBe(0);
    expect(this.clock.pendingTimers).toBe(0);
  }
}
