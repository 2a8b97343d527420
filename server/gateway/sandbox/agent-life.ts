import { untilAborted } from '../../core/abort.ts';
import { deferred } from '../../core/deferred.ts';
import { DomainError } from '../../core/domain-error.ts';
import {
  AgentStarter,
  type AgentStarterOptions,
  lastWords,
  type StartedAgent,
} from './agent-starter.ts';
import type { AgentEndpoint, AgentRecord } from './agents.ts';

export type AgentLifeOptions = AgentStarterOptions & {
  /** Called when a greeted agent died, in the moment that is known. */
  readonly onLost: (cause: DomainError) => void;
};

/** So many deaths within {@link DEATH_WINDOW_MS} make a sandbox failed. */
export const MAX_DEATHS = 5;
const DEATH_WINDOW_MS = 60_000;
/** From a second death within the window to the next start, in milliseconds; it doubles. After the first: none. */
const FIRST_BACKOFF_MS = 250;
/** How long an agent may take to end its programs kindly before its box is killed. */
const SHUTDOWN_DEADLINE_MS = 2500;
const SET_EXPIRY_DEADLINE_MS = 5000;
/** The most of an agent's last words that is kept for the sandbox's owner. */
const MAX_FAILURE_CHARS = 1000;

/** The agents of one sandbox, one after the other: found or started, watched, restarted, ended. */
export class AgentLife {
  readonly sandboxId: string;
  readonly #options: AgentLifeOptions;
  readonly #starter: AgentStarter;
  /** Aborted when this life ends or is left. */
  readonly #stop = new AbortController();
  #live: StartedAgent | undefined;
  /** Shared by all who wait for an agent. */
  #starting: Promise<AgentEndpoint> | undefined;
  /** A search for an agent of an earlier gateway, shared by all who wait for it. */
  #search: Promise<void> | undefined;
  /** Whether there can be such an agent: none was found or started by this process yet. */
  #mayFind = true;
  /** What is left of the agent that died last is being removed. */
  #clearing: Promise<void> = Promise.resolve();
  #ending: Promise<void> | undefined;
  /** Monotonic times within the window, oldest first; fewer than {@link MAX_DEATHS} unless failed. */
  #deaths: number[] = [];
  #failure: DomainError | undefined;

  constructor(options: AgentLifeOptions) {
    this.sandboxId = options.sandboxId;
    this.#options = options;
    this.#starter = new AgentStarter(options);
  }

  async ensure(signal: AbortSignal): Promise<AgentEndpoint> {
    if (this.#live) return this.#live.endpoint;
    if (this.#failure) throw this.#failure;
    if (this.#stop.signal.aborted) throw unavailable('it is being ended');
    this.#starting ??= this.#bring().finally(() => {
      this.#starting = undefined;
    });
    return untilAborted(this.#starting, signal);
  }

  async adopt(): Promise<void> {
    if (this.#live || this.#starting || this.#stop.signal.aborted) return;
    try {
      await this.#searchFirst();
    } catch (error) {
      this.#options.logger.warn('cannot look for a running agent', this.#fields({ error }));
    }
  }

  setExpiry(expiresAt: number): void {
    if (this.#live) void this.#tellExpiry(this.#live.endpoint, expiresAt);
  }

  /** Ends the agent and its box. Later calls wait for the same end, or try again if it failed. */
  end(): Promise<void> {
    this.#ending ??= this.#end().catch((error: unknown) => {
      this.#ending = undefined;
      throw error;
    });
    return this.#ending;
  }

  /** Stops watching. A running agent lives on. */
  async leave(): Promise<void> {
    this.#stop.abort(unavailable('the gateway is shutting down'));
    const live = this.#live;
    this.#live = undefined;
    live?.greeted.leave();
    await this.#untilQuiet();
  }

  async #bring(): Promise<AgentEndpoint> {
    await this.#searchFirst();
    while (!this.#live) {
      await this.#clearing;
      await this.#backOff();
      this.#stop.signal.throwIfAborted();
      const record = this.#record();
      this.#mayFind = false;
      const outcome = await this.#starter.start(record, this.#stop.signal);
      if ('agent' in outcome) {
        this.#watch(outcome.agent);
        // Its expiry may have moved while it started.
        const { expiresAt } = this.#record();
        if (expiresAt !== record.expiresAt) this.setExpiry(expiresAt);
      } else {
        this.#stop.signal.throwIfAborted();
        this.#countDeath();
        this.#options.logger.warn('agent did not start', this.#fields({ why: outcome.failure }));
        if (this.#failure) {
          await this.#keepFailure(outcome.failure);
          throw this.#failure;
        }
      }
    }
    return this.#live.endpoint;
  }

  #searchFirst(): Promise<void> {
    if (!this.#mayFind) return Promise.resolve();
    this.#search ??= this.#find().finally(() => {
      this.#search = undefined;
    });
    return this.#search;
  }

  async #find(): Promise<void> {
    const record = this.#options.records.agentRecord(this.sandboxId);
    if (!record) return;
    const agent = await this.#starter.find(record, this.#stop.signal);
    if (!agent) return;
    this.#options.logger.info('agent found', this.#fields({ bootId: record.bootId }));
    this.#watch(agent);
    this.setExpiry(this.#record().expiresAt);
  }

  #watch(agent: StartedAgent): void {
    if (this.#stop.signal.aborted) {
      agent.greeted.leave();
      return;
    }
    this.#live = agent;
    this.#mayFind = false;
    void agent.greeted.lost.then((why) => this.#lost(agent, why));
  }

  #lost(agent: StartedAgent, why: string): void {
    if (this.#live !== agent) return;
    this.#live = undefined;
    this.#countDeath();
    this.#clearing = this.#clear(agent, why);
    this.#options.onLost(this.#failure ?? unavailable('its agent died; it is started again'));
  }

  /** Removes what a dead agent left. Never rejects: the next start and the end do it again. */
  async #clear({ box }: StartedAgent, why: string): Promise<void> {
    try {
      const record = this.#options.records.agentRecord(this.sandboxId);
      if (record) await this.#options.driver.destroy(record);
      const said = box ? await lastWords(box, this.#options.clock) : '';
      this.#options.logger.warn('agent lost', this.#fields({ why, stderr: said }));
      if (this.#failure) await this.#keepFailure(said || why);
    } catch (error) {
      this.#options.logger.error('cannot clear up after an agent', this.#fields({ error }));
    }
  }

  #countDeath(): void {
    const now = this.#options.clock.monotonic();
    this.#deaths = [...this.#deaths.filter((at) => now - at < DEATH_WINDOW_MS), now];
    if (this.#deaths.length < MAX_DEATHS) return;
    this.#failure = new DomainError(
      'SANDBOX_FAILED',
      `the sandbox's agent died ${MAX_DEATHS} times within a minute and is not started again`,
    );
  }

  async #keepFailure(lastWords: string): Promise<void> {
    const failure = lastWords.slice(-MAX_FAILURE_CHARS);
    await this.#options.records.saveFailure(this.sandboxId, failure);
  }

  async #backOff(): Promise<void> {
    const { clock } = this.#options;
    const last = this.#deaths.at(-1);
    const repeats = this.#deaths.length - 1;
    if (last === undefined || repeats < 1) return;
    const waitMs = last + FIRST_BACKOFF_MS * 2 ** (repeats - 1) - clock.monotonic();
    if (waitMs <= 0) return;
    const waited = deferred<void>();
    const timer = clock.setTimer(waited.resolve, waitMs);
    await untilAborted(waited.promise, this.#stop.signal).finally(() => timer.clear());
  }

  async #end(): Promise<void> {
    this.#stop.abort(unavailable('it is being ended'));
    const live = this.#live;
    this.#live = undefined;
    await this.#untilQuiet();
    const record = this.#options.records.agentRecord(this.sandboxId);
    if (record) {
      if (live) await this.#shutDown(live);
      await this.#options.driver.destroy(record);
    }
    live?.greeted.leave();
  }

  async #shutDown({ endpoint, greeted }: StartedAgent): Promise<void> {
    const { control, clock, logger } = this.#options;
    const limit = new AbortController();
    const timer = clock.setTimer(() => limit.abort(), SHUTDOWN_DEADLINE_MS);
    try {
      await Promise.race([control.shutdown(endpoint, limit.signal), greeted.lost]);
    } catch (error) {
      logger.debug('agent did not shut down by itself', this.#fields({ error }));
    } finally {
      timer.clear();
      limit.abort();
    }
  }

  async #tellExpiry(endpoint: AgentEndpoint, expiresAt: number): Promise<void> {
    const { control, clock, logger } = this.#options;
    const limit = new AbortController();
    const timer = clock.setTimer(() => limit.abort(), SET_EXPIRY_DEADLINE_MS);
    try {
      await control.setExpiry(endpoint, this.#starter.agentExpiry(expiresAt), limit.signal);
    } catch (error) {
      logger.warn('agent did not take its new expiry', this.#fields({ error }));
    } finally {
      timer.clear();
    }
  }

  /** Waits for what was under way; its outcome is for those who asked for it. */
  async #untilQuiet(): Promise<void> {
    await Promise.allSettled([this.#starting, this.#search]);
    await this.#clearing;
  }

  #record(): AgentRecord {
    const record = this.#options.records.agentRecord(this.sandboxId);
    if (!record) throw new DomainError('NOT_FOUND', 'there is no such sandbox');
    return record;
  }

  #fields(fields: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
    return { sandboxId: this.sandboxId, ...fields };
  }
}

function unavailable(why: string): DomainError {
  return new DomainError('AGENT_UNAVAILABLE', `the sandbox's agent cannot be reached: ${why}`);
}
