import { expect, it } from 'vitest';
import { compute, type ManagedSandbox, Sandbox } from '../../client/compute.ts';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { ChaosProxy, type Fault, type FaultPlan } from '../support/chaos-proxy.ts';
import { TestGateway } from '../support/gateway.ts';
import type { ProxiedCall } from '../support/proxied-call.ts';
import { report } from '../support/report.ts';
import { isSoak, type SeededRandom, scaled, seed, seededRandom } from '../support/scale.ts';
import { TRANSPORTS } from '../support/transports.ts';

const CREATIONS = scaled(1_000);
const SANDBOXES = Math.ceil(CREATIONS * 0.05);
const TERMINALS = Math.floor(CREATIONS * 0.35);
const TOKENS = CREATIONS - SANDBOXES - TERMINALS;
/** Below the limit of 64 live terminals; the transports take turns. */
const TERMINALS_PER_SANDBOX = Math.min(40, Math.ceil(TERMINALS / TRANSPORTS.length));
const WITHIN_MS = isSoak ? 900_000 : 110_000;
/** Cuts of one creation. The client's backoff grows with each. */
const MAX_CUTS = 2;
const LONGEST_REQUEST_BYTES = 500;
const LONGEST_FRAME_BYTES = 100;

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
      const transport = TRANSPORTS[index % TRANSPORTS.length];
      terminals.push(...(await cutTerminals(managed, transport, TERMINALS - terminals.length)));
    }
    const { cuts, clientToServerCuts, serverToClientCuts, insideRequestCuts } = proxy.counters;
    report({
      test: 'cut creations',
      count: CREATIONS,
      figures: { cuts, clientToServerCuts, serverToClientCuts, insideRequestCuts },
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
    expect(insideRequestCuts).toBeGreaterThan(0);
    expect(plan.uncut).toBe(0);

    /** Connected with a token of its own. */
    async function cutTerminals(
      managed: ManagedSandbox,
      transport: TransportKind | undefined,
      wanted: number,
    ): Promise<string[]> {
      const { token } = await managed.sessionToken.create();
      const url = proxy.through(managed.url);
      await using sandbox = await Sandbox.connect({ url, token, transport });
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
    const longest = call.protocol === 'frames' ? LONGEST_FRAME_BYTES : LONGEST_REQUEST_BYTES;
    if (this.#random.chance(0.4)) return { cutAfterBytes: this.#random.below(longest) };
    this.#losing.add(call);
    return undefined;
  }

  onResponse(call: ProxiedCall): 'cut' | undefined {
    return this.#losing.has(call) ? 'cut' : undefined;
  }
}
