import { Agent } from 'node:http';
import { newSandbox } from './clients.ts';
import type { TestGateway } from './gateway.ts';
import { sendHttp1 } from './raw-call.ts';
import { delay } from './until.ts';

/** What honest users of an attacked gateway see, as ratios to those of one that nobody attacks. */
export type HonestView = {
  readonly calls: number;
  readonly failures: number;
  readonly medianMs: number;
  readonly controlMedianMs: number;
  readonly medianRatio: number;
  readonly p95Ratio: number;
};

/** Between two calls, in milliseconds. */
const PAUSE_MS = 4;

/** Calls into a sandbox of each of two gateways in turn, over connections that stay open. */
export class HonestUsers {
  readonly #attacked: Caller;
  readonly #control: Caller;

  private constructor(attacked: Caller, control: Caller) {
    this.#attacked = attacked;
    this.#control = control;
  }

  static async of(attacked: TestGateway, control: TestGateway): Promise<HonestUsers> {
    return new HonestUsers(await Caller.at(attacked), await Caller.at(control));
  }

  /** Calls until `attack` settles, and rejects if it does. */
  async during(attack: Promise<unknown>): Promise<HonestView> {
    let isOver = false;
    const over = attack.finally(() => {
      isOver = true;
    });
    // Whoever awaits it below sees the failure.
    over.catch(() => {});
    for (const caller of [this.#attacked, this.#control]) caller.begin();
    while (!isOver) {
      await this.#attacked.call();
      await this.#control.call();
      await delay(PAUSE_MS);
    }
    await over;
    const [seen, control] = [this.#attacked.times, this.#control.times];
    return {
      calls: seen.length,
      failures: this.#attacked.failures + this.#control.failures,
      medianMs: quantile(seen, 0.5),
      controlMedianMs: quantile(control, 0.5),
      medianRatio: quantile(seen, 0.5) / quantile(control, 0.5),
      p95Ratio: quantile(seen, 0.95) / quantile(control, 0.95),
    };
  }

  close(): void {
    this.#attacked.close();
    this.#control.close();
  }
}

class Caller {
  times: number[] = [];
  failures = 0;
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  private constructor(url: string, token: string) {
    this.#url = new URL(url);
    this.#headers = { 'content-type': 'application/json', authorization: `Bearer ${token}` };
  }

  static async at(gateway: TestGateway): Promise<Caller> {
    const { sandbox, token } = await newSandbox(gateway);
    const caller = new Caller(sandbox.url, token);
    // What the first calls load is no one's attack.
    for (let times = 0; times < 50; times += 1) await caller.call();
    return caller;
  }

  begin(): void {
    this.times = [];
    this.failures = 0;
  }

  async call(): Promise<void> {
    const startedAt = performance.now();
    const path = `${this.#url.pathname}/computesdk.v1.TerminalService/ListTerminals`;
    const body = Buffer.from('{}');
    const call = { path, headers: this.#headers, body };
    const { status } = await sendHttp1(this.#url.origin, call, this.#agent);
    this.times.push(performance.now() - startedAt);
    if (status !== 200) this.failures += 1;
  }

  close(): void {
    this.#agent.destroy();
  }
}

function quantile(times: readonly number[], part: number): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
}
