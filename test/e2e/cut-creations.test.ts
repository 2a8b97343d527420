import { expect, it } from 'vitest';
import { compute, type ManagedSandbox, Sandbox } from '../../client/compute.ts';
import { ChaosProxy, type Fault, type FaultPlan } from '../support/chaos-proxy.ts';
import { TestGateway } from '../support/gateway.ts';
import type { ProxiedCall } from '../support/proxied-call.ts';
import { report } from '../support/report.ts';
import { isSoak, type SeededRandom, scaled, seed, seededRandom } from '../support/scale.ts';

const CREATIONS = scaled(1_000);
const SANDBOXES = Math.ceil(CREATIONS * 0.05);
const TERMINALS = Math.floor(CREATIONS * 0.35);
const TOKENS = CREATIONS - SANDBOXES - TERMINALS;
/** Below the limit of 64 live terminals. */
const TERMINALS_PER_SANDBOX = 40;
const WITHIN_MS = isSoak ? 900_000 : 110_000;
/** Cuts of one creation. The client's backoff grows with each. */
const MAX_CUTS = 2;
const LONGEST_REQUEST_BYTES = 500;

it(
  'makes exactly as many sandboxes, terminals and tokens as were asked for, however often a creation is cut',
  async () => {
    await using gateway = await TestGateway.start();
    const plan = new CreationPlan(seededRandom(seed));
    await using proxy = await ChaosProxy.open({ port: gateway.port, plan });
    const configured = compute({ apiKey: gateway.apiKey, gatewayUrl: proxy.through(gateway.url) });

    const sandboxes: ManagedSandbox[] = [];
    while (sandboxes.length < SANDBOXES)
      sandboxes.push(await plan.cut(() => configured.sandbox.create()));
    const [first] = sandboxes;
    if (!first) throw new Error('no sandbox');
    const tokens: string[] = [];
    while (tokens.length < TOKENS)
      tokens.push((await plan.cut(() => first.sessionToken.create())).id);
    const terminals: string[] = [];
    for (let index = 0; terminals.length < TERMINALS; index++) {
      const managed = sandboxes[index];
      if (!managed) throw new Error('too few sandboxes for the terminals');
      terminals.push(...(await cutTerminals(managed, TERMINALS - terminals.length)));
    }
    const { cuts, clientToServerCuts, serverToClientCuts } = proxy.counters;
    report({
      test: 'cut creations',
      count: CREATIONS,
      figures: { cuts, clientToServerCuts, serverToClientCuts },
    });

    const found = await compute({ apiKey: gateway.apiKey, gatewayUrl: gateway.url }).sandbox.list();
    expect(found.map(({ id }) => id).toSorted()).toEqual(sandboxes.map(({ id }) => id).toSorted());
    const tokensOf = (sandbox: ManagedSandbox) => sandbox.sessionToken.list();
    const foundTokens = (await Promise.all(found.map(tokensOf))).flat();
    expect(foundTokens).toHaveLength(TOKENS + Math.ceil(TERMINALS / TERMINALS_PER_SANDBOX));
    expect(foundTokens.map(({ id }) => id)).toEqual(expect.arrayContaining(tokens));
    const foundTerminals = (
      await Promise.all(found.map((sandbox) => sandbox.terminal.list()))
    ).flat();
    expect(foundTerminals.map(({ id }) => id).toSorted()).toEqual(terminals.toSorted());
    expect(cuts).toBeGreaterThanOrEqual(CREATIONS);
    expect(clientToServerCuts).toBeGreaterThan(0.2 * cuts);
    expect(serverToClientCuts).toBeGreaterThan(0.2 * cuts);
    expect(plan.uncut).toBe(0);

    /** Connected with a token of its own. */
    async function cutTerminals(managed: ManagedSandbox, wanted: number): Promise<string[]> {
      const { token } = await managed.sessionToken.create();
      await using sandbox = await Sandbox.connect({ url: proxy.through(managed.url), token });
      const ids: string[] = [];
      while (ids.length < Math.min(wanted, TERMINALS_PER_SANDBOX)) {
        const terminal = await plan.cut(() => sandbox.terminal.create({ shell: '/bin/cat' }));
        ids.push(terminal.id);
      }
      return ids;
    }
  },
  WITHIN_MS,
);

/** Cuts each creation once or twice, on its way or on the way back, and then lets it pass. */
class CreationPlan implements FaultPlan {
  /** Creations that ended without a cut. */
  uncut = 0;
  readonly #random: SeededRandom;
  readonly #losing = new WeakSet<ProxiedCall>();
  #left = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  async cut<T>(creation: () => Promise<T>): Promise<T> {
    this.#left = 1 + this.#random.below(MAX_CUTS);
    const created = await creation();
    if (this.#left > 0) this.uncut++;
    this.#left = 0;
    return created;
  }

  onRequest(call: ProxiedCall): Fault | undefined {
    if (this.#left === 0 || !call.method.startsWith('Create')) return undefined;
    this.#left--;
    if (this.#random.chance(0.4))
      return { cutAfterBytes: this.#random.below(LONGEST_REQUEST_BYTES) };
    this.#losing.add(call);
    return undefined;
  }

  onResponse(call: ProxiedCall): 'cut' | undefined {
    return this.#losing.has(call) ? 'cut' : undefined;
  }
}
