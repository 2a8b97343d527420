import { AGENT_PROTOCOL_VERSION, type AgentConfig } from '../../agent/config.ts';
import type { Clock } from '../../core/clock.ts';
import { deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';
import { newId } from '../../core/id.ts';
import type { Logger } from '../../core/log.ts';
import type { Box, Driver, Egress } from '../../driver/driver.ts';
import type { AgentControl, AgentIdentity, GreetedAgent } from './agent-control.ts';
import type { AgentEndpoint, AgentRecord, AgentRecords } from './agents.ts';

export type AgentStarterOptions = {
  readonly sandboxId: string;
  readonly records: AgentRecords;
  readonly driver: Driver;
  readonly control: AgentControl;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What boxes may reach. */
  readonly egress: Egress;
  /** How long an agent lives without a gateway, in milliseconds. */
  readonly graceMs: number;
  readonly agentLogLevel: AgentConfig['logLevel'];
};

/** An agent that was greeted and is the one it should be. */
export type StartedAgent = {
  readonly endpoint: AgentEndpoint;
  readonly greeted: GreetedAgent;
  /** Absent when an earlier gateway process started it. */
  readonly box?: Box;
};

/** A start that failed is an outcome: it counts as a death. Broken stores throw. */
export type StartOutcome = { readonly agent: StartedAgent } | { readonly failure: string };

/** How long an agent may take to greet back, in milliseconds. */
const GREET_DEADLINE_MS = 10_000;
/** How long the last words of a dead agent are waited for. */
const LAST_WORDS_MS = 1000;
/** The gateway ends an expired sandbox; the agent does so itself, this much later, if no gateway did. */
const EXPIRY_SLACK_MS = 2000;

/** Finds the agent of one sandbox, or starts a new one, and makes sure that it is the right one. */
export class AgentStarter {
  readonly #options: AgentStarterOptions;

  constructor(options: AgentStarterOptions) {
    this.#options = options;
  }

  /** When an agent ends itself whose sandbox expires at `expiresAt`. */
  agentExpiry(expiresAt: number): number {
    return expiresAt + EXPIRY_SLACK_MS;
  }

  /** The agent that an earlier gateway process left running, if it still answers. */
  async find(record: AgentRecord, signal: AbortSignal): Promise<StartedAgent | undefined> {
    if (record.bootId === undefined) return undefined;
    const { driver, logger, sandboxId } = this.#options;
    try {
      const endpoint = driver.endpoint(record.directory);
      const greeted = await this.#greet(endpoint, record, { bootId: record.bootId, signal });
      return { endpoint, greeted };
    } catch (error) {
      signal.throwIfAborted();
      logger.debug('no agent to be found', { sandboxId, error });
      return undefined;
    }
  }

  /** Starts a new agent, after ending whatever is left of the one before. */
  async start(record: AgentRecord, signal: AbortSignal): Promise<StartOutcome> {
    const { driver, records, clock } = this.#options;
    if (record.expiresAt <= clock.now()) {
      throw new DomainError('AGENT_UNAVAILABLE', 'the sandbox has reached the end of its life');
    }
    if (record.bootId !== undefined) await driver.destroy(record);
    const bootId = newId('bot');
    // Kept while the box starts: before both are done nobody can have seen this boot.
    const booted = records.saveBoot(record.sandboxId, bootId);
    booted.catch(() => {}); // It is awaited below, maybe after it failed.
    const box = await this.#box(record, bootId, signal);
    if ('failure' in box) {
      await booted;
      return box;
    }
    try {
      await booted;
      const [greeted] = await Promise.all([
        this.#greet(box.endpoint, record, { bootId, signal, box }),
        records.saveHandle(record.sandboxId, box.handle),
      ]);
      return { agent: { endpoint: box.endpoint, greeted, box } };
    } catch (error) {
      await driver.destroy({ ...record, handle: box.handle });
      if (!(error instanceof DomainError) || error.reason !== 'AGENT_UNAVAILABLE') throw error;
      return { failure: `${error.message}\n${await lastWords(box, clock)}`.trim() };
    }
  }

  async #box(
    record: AgentRecord,
    bootId: string,
    signal: AbortSignal,
  ): Promise<Box | { failure: string }> {
    const { driver, egress, graceMs, agentLogLevel: logLevel } = this.#options;
    const { sandboxId, directory, uid } = record;
    const previousBootIds = [record.bootId ?? [], record.previousBootIds].flat();
    const expiresAt = this.agentExpiry(record.expiresAt);
    const agent = { sandboxId, bootId, previousBootIds, expiresAt, graceMs, logLevel };
    const spec = { sandboxId, directory, egress, agent, ...(uid !== undefined && { uid }) };
    try {
      return await driver.start(spec, signal);
    } catch (error) {
      return { failure: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Throws AGENT_UNAVAILABLE unless the right agent answers in time. */
  async #greet(
    endpoint: AgentEndpoint,
    { directory }: AgentRecord,
    expected: { readonly bootId: string; readonly signal: AbortSignal; readonly box?: Box },
  ): Promise<GreetedAgent> {
    const { control, driver, clock } = this.#options;
    const limit = new AbortController();
    const giveUp = () => limit.abort(unavailable('the agent did not answer'));
    const timer = clock.setTimer(giveUp, GREET_DEADLINE_MS);
    const signal = AbortSignal.any([expected.signal, limit.signal]);
    void expected.box?.exited.then(() => limit.abort(unavailable('the agent ended at its start')));
    try {
      const onKeepAlive = () => void driver.tend(directory);
      const greeted = await control.greet(endpoint, { signal, onKeepAlive });
      const problem = this.#problemOf(greeted.identity, expected.bootId);
      if (problem === undefined) return greeted;
      greeted.leave();
      throw unavailable(problem);
    } catch (error) {
      if (error instanceof DomainError) throw error;
      const said = error instanceof Error ? error.message : String(error);
      throw unavailable(`the agent did not greet back (${said})`, error);
    } finally {
      timer.clear();
    }
  }

  #problemOf(identity: AgentIdentity, bootId: string): string | undefined {
    const { protocolVersion } = identity;
    if (identity.sandboxId !== this.#options.sandboxId)
      return 'the agent is that of another sandbox';
    if (identity.bootId !== bootId) return 'the agent is not the one that was started last';
    const isServed =
      protocolVersion === AGENT_PROTOCOL_VERSION || protocolVersion === AGENT_PROTOCOL_VERSION - 1;
    return isServed ? undefined : `the agent speaks protocol version ${protocolVersion}`;
  }
}

/** The end of what an agent that is ending wrote to standard error; empty when it does not end. */
export async function lastWords(box: Box, clock: Clock): Promise<string> {
  const words = deferred<string>();
  const timer = clock.setTimer(() => words.resolve(''), LAST_WORDS_MS);
  void box.exited.then(({ stderr }) => words.resolve(stderr));
  return words.promise.finally(() => timer.clear());
}

function unavailable(problem: string, cause?: unknown): DomainError {
  return new DomainError('AGENT_UNAVAILABLE', problem, { cause });
}
