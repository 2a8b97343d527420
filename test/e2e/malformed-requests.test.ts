import { Agent } from 'node:http';
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import {
  MALFORMED_KINDS,
  type MalformedKind,
  type MalformedTargets,
  malformedBytes,
  malformedCall,
} from '../support/malformed-calls.ts';
import { residentBytes } from '../support/processes.ts';
import { type RawResult, sendHttp1, sendHttp2 } from '../support/raw-call.ts';
import { report } from '../support/report.ts';
import { scaled, seed, seededRandom } from '../support/scale.ts';
import { delay, within } from '../support/until.ts';

const MIB = 2 ** 20;
const MAX_GROWTH_BYTES = 20 * MIB;
const REQUESTS = scaled(200_000);
/** What loads code, fills caches and lets the heap find its size. */
const WARM_UP = Math.max(4_000, Math.round(REQUESTS / 10));
/** Requests at a time. */
const AT_ONCE = 24;
/** No answer takes this long; bytes that no answer comes to are cut off by the client. */
const MAX_ANSWER_MS = 20_000;
/** How long the gateway may think about raw bytes before the client leaves. */
const RAW_MS = 20;

/**
 * A heap that may grow does so before anything is collected, by 200 MB; in a small one growth is a leak.
 * What does not fit into it ends the process.
 */
const SMALL_HEAP = '--max-semi-space-size=4 --max-old-space-size=96';

/** How far a request came. */
type Reached = 'HTTP' | 'authentication' | 'decoder' | 'handler';

let gateway: TestGateway;
let targets: MalformedTargets;
let agent: Agent;

beforeAll(async () => {
  gateway = await TestGateway.start({ env: { NODE_OPTIONS: SMALL_HEAP } });
  const { sandbox, token } = await newSandbox(gateway);
  const { apiKey } = gateway;
  targets = { sandboxPath: new URL(sandbox.url).pathname, apiKey, token };
  agent = new Agent({ keepAlive: true, maxSockets: AT_ONCE });
}, 60_000);
afterAll(async () => {
  agent.destroy();
  await gateway.stop();
}, 60_000);

test('malformed requests neither break the gateway nor stay in its memory', async () => {
  const { pid } = gateway;
  await run(WARM_UP, seed);
  const before = await settledBytes(pid);
  const { reached, broken } = await run(REQUESTS, seed + 1);
  const growth = (await settledBytes(pid)) - before;
  expect(broken).toEqual([]);
  expect(gateway.pid).toBe(pid);
  expect((await fetch(`${gateway.url}/healthz`)).status).toBe(200);
  // Tests that all end at the first guard would show nothing.
  for (const place of ['authentication', 'decoder', 'handler'] as const) {
    expect(reached[place], place).toBeGreaterThan(REQUESTS / 50);
  }
  const share = (place: Reached) => `${Math.round((100 * reached[place]) / REQUESTS)} %`;
  report({
    test: 'malformed requests',
    count: REQUESTS,
    figures: {
      'ended at HTTP': share('HTTP'),
      authentication: share('authentication'),
      decoder: share('decoder'),
      handler: share('handler'),
      'growth MB': growth / MIB,
    },
  });
  expect(growth).toBeLessThan(MAX_GROWTH_BYTES);
});

async function run(count: number, start: number) {
  const reached: Record<Reached, number> = { HTTP: 0, authentication: 0, decoder: 0, handler: 0 };
  const broken: string[] = [];
  let next = 0;
  const worker = async () => {
    const line = new Http2Line(gateway.url);
    for (let index = next++; index < count; index = next++) {
      const kind = MALFORMED_KINDS[index % MALFORMED_KINDS.length] ?? 'target';
      const what = `${kind} (${start}/${index})`;
      const answer = await within(send(kind, start + index, line), {
        what,
        withinMs: MAX_ANSWER_MS,
      });
      if (isBroken(answer)) broken.push(`${what}: ${JSON.stringify(answer)}`);
      reached[reachOf(answer)] += 1;
    }
    line.close();
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return { reached, broken: broken.slice(0, 20) };
}

async function send(kind: MalformedKind, start: number, line: Http2Line): Promise<RawResult> {
  const random = seededRandom(start);
  if (kind === 'raw bytes') return await sendBytes(malformedBytes(random));
  const call = malformedCall(kind, targets, random);
  if (random.chance(0.5)) return await line.send(call);
  try {
    return await sendHttp1(gateway.url, call, agent);
  } catch (error) {
    // Node.js refuses to send some of it; HTTP/2 takes more.
    if (error instanceof TypeError) return await line.send(call);
    throw error;
  }
}

/** One connection over HTTP/2, made anew when it broke. */
class Http2Line {
  readonly #url: string;
  #session: ClientHttp2Session | undefined;

  constructor(url: string) {
    this.#url = url;
  }

  async send(call: Parameters<typeof sendHttp2>[1]): Promise<RawResult> {
    if (!this.#session || this.#session.destroyed || this.#session.closed) {
      this.#session = connectHttp2(this.#url);
      this.#session.on('error', () => {});
    }
    const { host, expect: _expect, te: _te, ...headers } = call.headers;
    const authority = host === undefined ? {} : { ':authority': host };
    try {
      return await sendHttp2(this.#session, { ...call, headers: { ...authority, ...headers } });
    } catch {
      // What Node.js refuses to send over both versions.
      return { status: 0, code: 'cut', text: '' };
    }
  }

  close(): void {
    this.#session?.destroy();
  }
}

/** Sends bytes on a connection of their own and waits for an answer, the end, or a moment. */
function sendBytes(bytes: Buffer): Promise<RawResult> {
  return new Promise((resolve) => {
    const socket = connect(gateway.port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    const end = () => socket.destroy();
    const timer = setTimeout(end, RAW_MS);
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve({ status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), code: 'cut', text });
    });
  });
}

function isBroken({ status, code }: RawResult): boolean {
  if (code === 'internal' || code === 'unknown' || code === 'data_loss') return true;
  // Not implemented, a deadline that the caller set, and a method that needs HTTP/2.
  return status >= 500 && status !== 501 && status !== 504 && status !== 505;
}

function reachOf({ status, code, text }: RawResult): Reached {
  switch (code) {
    case 'unauthenticated':
    case 'permission_denied':
      return status === 421 ? 'HTTP' : 'authentication';
    case 'cut':
    case 'none':
      return 'HTTP';
    case 'invalid_argument':
    case 'resource_exhausted':
    case 'unimplemented':
      if (
        status === 404 ||
        status === 405 ||
        status === 415 ||
        /Host|credential must not/.test(text)
      ) {
        return 'HTTP';
      }
      return /ErrorDetail|details-bin/.test(text) ? 'handler' : 'decoder';
    default:
      return 'handler';
  }
}

/** Memory when nothing is under way: the least of some looks, after a moment of rest. */
async function settledBytes(pid: number): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let look = 0; look < 10; look += 1) {
    await delay(150);
    least = Math.min(least, residentBytes(pid));
  }
  return least;
}
