import { expect, it } from 'vitest';
import { AccessLedger } from '../support/access-ledger.ts';
import { AccessStage, asBearer, type IssuedToken } from '../support/access-stage.ts';
import { TestGateway } from '../support/gateway.ts';
import { postJson } from '../support/raw-http.ts';
import { report } from '../support/report.ts';
import { scaled, seed, seededRandom } from '../support/scale.ts';
import { delay } from '../support/until.ts';

const KILLS = scaled(20);
/** How long a gateway lives under load, at least, and how much longer it may, in milliseconds. */
const SHORTEST_LIFE_MS = 200;
const LIFE_SPREAD_MS = 400;
const BROWSERS = 4;

/** Creates and revokes tokens, creates links and presses their buttons, until the gateway dies. */
class Load {
  readonly revoked: IssuedToken[] = [];
  /** Cookies that were handed out, by the link that they came from. */
  readonly cookies = new Map<string, string[]>();
  readonly ledger: AccessLedger;
  readonly #stage: AccessStage;
  #isOver = false;

  constructor(stage: AccessStage, ledger: AccessLedger) {
    this.#stage = stage;
    this.ledger = ledger;
  }

  /** Resolves when every call has come to its end. Call {@link stop} when the gateway is gone. */
  async run(): Promise<void> {
    const lanes = [
      () => this.#revoke(),
      () => this.#revoke(),
      () => this.#redeem(),
      () => this.#redeem(),
    ];
    await Promise.all(lanes.map((lane) => this.#repeat(lane)));
  }

  stop(): void {
    this.#isOver = true;
  }

  async #repeat(lane: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      // What fails was not acknowledged; everything fails once the gateway is gone.
      await lane().catch(() => delay(5));
    }
  }

  async #revoke(): Promise<void> {
    const token = await this.#stage.token();
    this.ledger.note(`token ${token.id}`);
    await this.#stage.revoke(token);
    this.revoked.push(token);
    this.ledger.note(`revoked ${token.id}`);
  }

  async #redeem(): Promise<void> {
    const { id, url } = await this.#stage.link();
    this.ledger.note(`link ${id}`);
    await Promise.allSettled(Array.from({ length: BROWSERS }, () => this.#press(id, url)));
  }

  async #press(id: string, url: string): Promise<void> {
    const cookie = await this.#stage.press(url);
    if (cookie === undefined) return;
    this.ledger.note(`redeemed ${id}`);
    this.cookies.set(id, [...(this.cookies.get(id) ?? []), cookie]);
  }
}

it('kill -9 of the gateway loses no revocation and spends no link twice', async () => {
  await using gateway = await TestGateway.start({ env: { COMPUTESDK_LOG_LEVEL: 'warn' } });
  const random = seededRandom(seed);
  const ledger = new AccessLedger();
  let signedIn = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const stage = await AccessStage.open(gateway);
    const load = new Load(stage, ledger);
    const running = load.run();
    await delay(SHORTEST_LIFE_MS + random.below(LIFE_SPREAD_MS));
    await gateway.kill('SIGKILL');
    load.stop();
    await running;
    expect(ledger.problems(gateway.dataDirectory), `seed ${seed}, kill ${kill}`).toEqual([]);
    await gateway.restart();
    for (const token of load.revoked) {
      const call = await postJson(
        `${stage.url}/computesdk.v1.AuthService/WhoAmI`,
        {},
        asBearer(token),
      );
      expect(call.status).toBe(401);
    }
    const { origin } = new URL(stage.url);
    for (const [cookie = ''] of load.cookies.values()) {
      const headers = { cookie, origin };
      const call = await postJson(`${stage.url}/computesdk.v1.AuthService/WhoAmI`, {}, headers);
      expect(call.status).toBe(200);
      signedIn += 1;
    }
    await stage.destroy();
  }
  report({
    test: 'kill -9 of a gateway while access is given and taken',
    count: KILLS,
    figures: { revoked: ledger.revoked.length, redeemed: ledger.winners.size, signedIn },
  });
  expect(Math.min(ledger.revoked.length, ledger.winners.size)).toBeGreaterThan(KILLS);
});
