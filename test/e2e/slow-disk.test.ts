import { expect, it } from 'vitest';
import { compute } from '../../client/compute.ts';
import { Sandbox, type Terminal } from '../../client/index.ts';
import { quantile } from '../support/access-stage.ts';
import { TestGateway } from '../support/gateway.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { SourceCopy } from '../support/source-copy.ts';
import { within } from '../support/until.ts';

const KEYS = scaled(2_000);
const FSYNC_MS = 50;
/** How much longer an echo may take with a slow disk than with the machine's own, in the same run. */
const MAX_MEDIAN_RATIO = 1.5;
/** The tail of a run this short is noise; a key that waits for one fsync is far above this. */
const MAX_TAIL_MS = FSYNC_MS / 2;

/** As on a disk that takes its time: each statement that ends with an fsync does so later. */
const SLOW_FSYNC = {
  file: 'server/gateway/store/sqlite-worker.ts',
  from: '  const statement = prepare(database, request.sql);\n',
  to: `  const isLast = /^commit/i.test(request.sql) || !database.isTransaction;
  if (isLast && /^(commit|insert|update|delete)/i.test(request.sql)) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${FSYNC_MS});
  }
  const statement = prepare(database, request.sql);
`,
};

/** A gateway, a page with a terminal that echoes, and a backend that creates tokens. */
class Side {
  readonly times: number[] = [];
  readonly creations: number[] = [];
  readonly #sandbox: Sandbox;
  readonly #terminal: Terminal;
  readonly #create: () => Promise<unknown>;
  #onEcho: () => void = () => {};

  private constructor(sandbox: Sandbox, terminal: Terminal, create: () => Promise<unknown>) {
    this.#sandbox = sandbox;
    this.#terminal = terminal;
    this.#create = create;
    terminal.on('output', () => this.#onEcho());
  }

  static async open(gateway: TestGateway): Promise<Side> {
    const managed = await compute({
      apiKey: gateway.apiKey,
      gatewayUrl: gateway.url,
    }).sandbox.create();
    const { token } = await managed.sessionToken.create();
    const sandbox = await Sandbox.connect({ url: managed.url, token });
    const args = ['-c', 'stty raw -echo; echo ready; exec cat'];
    const terminal = await sandbox.terminal.create({ pty: true, shell: '/bin/sh', args });
    const side = new Side(sandbox, terminal, async () => {
      const { id } = await managed.sessionToken.create();
      await managed.sessionToken.revoke(id);
    });
    await within(side.#echo(), { what: 'the terminal' });
    return side;
  }

  /** Types one key and waits for its echo. */
  async type(): Promise<void> {
    const startedAt = performance.now();
    const echo = this.#echo();
    void this.#terminal.write('x');
    await within(echo, { what: 'the echo of a key' });
    this.times.push(performance.now() - startedAt);
  }

  /** Makes the database write. */
  async create(): Promise<void> {
    const startedAt = performance.now();
    await this.#create();
    this.creations.push(performance.now() - startedAt);
  }

  close(): Promise<void> {
    return this.#sandbox.disconnect();
  }

  #echo(): Promise<void> {
    return new Promise((resolve) => {
      this.#onEcho = resolve;
    });
  }
}

it('a slow fsync does not delay the echo of a key', async () => {
  using copy = new SourceCopy();
  copy.mutate(SLOW_FSYNC);
  await copy.buildAgent();
  const env = { COMPUTESDK_LOG_LEVEL: 'warn' };
  await using slowGateway = await TestGateway.start({ root: copy.root, env });
  await using quickGateway = await TestGateway.start({ env });
  const slow = await Side.open(slowGateway);
  const quick = await Side.open(quickGateway);
  let isDone = false;
  const creating = (async () => {
    // Both write at the pace of the slow one, whose database is never idle.
    while (!isDone) await Promise.all([slow.create(), quick.create()]);
  })();
  for (let key = 0; key < KEYS; key++) {
    for (const side of key % 2 === 0 ? [slow, quick] : [quick, slow]) await side.type();
  }
  isDone = true;
  await creating;
  const figures = {
    slowP50: quantile(slow.times, 0.5),
    quickP50: quantile(quick.times, 0.5),
    slowP95: quantile(slow.times, 0.95),
    quickP95: quantile(quick.times, 0.95),
    slowWriteMs: quantile(slow.creations, 0.5),
    quickWriteMs: quantile(quick.creations, 0.5),
    writes: slow.creations.length,
  };
  report({ test: 'echo of a key with a fsync of 50 ms', count: KEYS, figures });
  await Promise.all([slow.close(), quick.close()]);
  // One creation and one revocation.
  expect(figures.slowWriteMs).toBeGreaterThan(2 * FSYNC_MS);
  expect(figures.slowP50 / figures.quickP50).toBeLessThan(MAX_MEDIAN_RATIO);
  expect(figures.slowP95).toBeLessThan(figures.quickP95 * MAX_MEDIAN_RATIO + MAX_TAIL_MS);
});
