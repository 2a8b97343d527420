import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestGateway } from '../support/gateway.ts';
import { HonestUsers } from '../support/honest-users.ts';
import {
  END_HEADERS,
  END_STREAM,
  FRAME,
  frame,
  GET_ROOT,
  PREFACE,
} from '../support/http2-frames.ts';
import { residentBytes } from '../support/processes.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { delay, within } from '../support/until.ts';

const MIB = 2 ** 20;
/** Frames that each flood sends at most; far more than any limit lets pass. */
const FRAMES = scaled(2_000_000);
const FRAMES_AT_ONCE = 500;
const CONNECTIONS = 4;
/** How long a flood may go on that is not cut, in milliseconds. */
const FLOOD_MS = 10_000;
/** How long the end of a connection may take on a busy machine, in milliseconds. */
const CUT_MS = 10_000;
/** What the floods of one kind may cost the gateway. An unlimited one costs as much as it lasts. */
const MAX_CPU_MS = 3_000;
const MAX_GROWTH_BYTES = 80 * MIB;
/** How long honest calls are measured beyond a flood, in milliseconds: most floods are cut in a blink. */
const AFTER_MS = 2_000;
/** How much slower an honest call may become in its median, while one of two cores sends the flood. */
const MAX_RATIO = 3;
const CANCEL = Buffer.from([0, 0, 0, 8]);
/** A clock tick of /proc, in milliseconds. */
const TICK_MS = 10;

type Flood = {
  readonly name: string;
  readonly make: (index: number) => Buffer;
  /** Whether the connection must be ended. Otherwise the frames are too cheap to matter. */
  readonly isCut: boolean;
};

const streamOf = (index: number) => (2 * index + 1) & 0x7fffffff;

const FLOODS: readonly Flood[] = [
  {
    name: 'rapid reset',
    isCut: true,
    make: (index) =>
      Buffer.concat([
        frame({
          type: FRAME.headers,
          flags: END_HEADERS | END_STREAM,
          stream: streamOf(index),
          payload: GET_ROOT,
        }),
        frame({ type: FRAME.reset, stream: streamOf(index), payload: CANCEL }),
      ]),
  },
  {
    name: 'CONTINUATION',
    isCut: true,
    make: (index) =>
      index === 0
        ? frame({ type: FRAME.headers, stream: 1, payload: GET_ROOT })
        : frame({ type: FRAME.continuation, stream: 1 }),
  },
  { name: 'SETTINGS', isCut: true, make: () => frame({ type: FRAME.settings }) },
  {
    name: 'PING',
    isCut: true,
    make: () => frame({ type: FRAME.ping, payload: Buffer.alloc(8) }),
  },
  {
    name: 'PRIORITY',
    isCut: true,
    make: (index) =>
      frame({
        type: FRAME.priority,
        stream: streamOf(index),
        payload: Buffer.from([0, 0, 0, 0, 1]),
      }),
  },
  {
    // Cut, or dropped unread where the answer came first.
    name: 'empty DATA',
    isCut: false,
    make: (index) =>
      index === 0
        ? frame({ type: FRAME.headers, flags: END_HEADERS, stream: 1, payload: GET_ROOT })
        : frame({ type: FRAME.data, stream: 1 }),
  },
  {
    name: 'WINDOW_UPDATE',
    isCut: false,
    make: () => frame({ type: FRAME.window, payload: Buffer.from([0, 0, 0, 1]) }),
  },
];

let gateway: TestGateway;
let control: TestGateway;
let honest: HonestUsers;

beforeAll(async () => {
  [gateway, control] = await Promise.all([TestGateway.start(), TestGateway.start()]);
  honest = await HonestUsers.of(gateway, control);
}, 60_000);
afterAll(async () => {
  honest.close();
  await Promise.all([gateway.stop(), control.stop()]);
}, 60_000);

it.each(FLOODS)(
  'a flood of $name is cut or costs little, and honest calls go on',
  async (flood) => {
    const { pid } = gateway;
    const [cpu, memory] = [cpuMs(pid), residentBytes(pid)];
    const attack = Promise.all(Array.from({ length: CONNECTIONS }, () => send(flood)));
    let sent: readonly Sent[] = [];
    const view = await honest.during(
      attack.then(async (all) => {
        sent = all;
        // Enough calls to compare, also when the flood was cut at once.
        await delay(AFTER_MS);
      }),
    );
    const figures = {
      cut: sent.filter(({ isCut }) => isCut).length,
      frames: sent.reduce((sum, { frames }) => sum + frames, 0),
      'CPU ms': cpuMs(pid) - cpu,
      'growth MB': (residentBytes(pid) - memory) / MIB,
      'median ratio': view.medianRatio,
      'p95 ratio': view.p95Ratio,
    };
    report({ test: `HTTP/2 flood: ${flood.name}`, count: FRAMES, figures });
    if (flood.isCut) expect(figures.cut).toBe(CONNECTIONS);
    expect(figures['CPU ms']).toBeLessThan(MAX_CPU_MS);
    expect(figures['growth MB'] * MIB).toBeLessThan(MAX_GROWTH_BYTES);
    expect(view.failures).toBe(0);
    expect(view.medianRatio).toBeLessThan(MAX_RATIO);
    expect(gateway.pid).toBe(pid);
  },
);

type Sent = { readonly frames: number; readonly isCut: boolean };

async function send({ make, isCut: mustBeCut }: Flood): Promise<Sent> {
  const socket = connect(gateway.port, '127.0.0.1');
  let isCut = false;
  const closed = new Promise<void>((resolve) =>
    socket.on('close', () => {
      isCut = true;
      resolve();
    }),
  );
  // Answers are read: a client that does not is ended even earlier.
  socket.on('error', () => {}).resume();
  socket.write(Buffer.concat([PREFACE, frame({ type: FRAME.settings })]));
  const deadline = performance.now() + FLOOD_MS;
  let frames = 0;
  // What must be cut goes on until it is: a slow machine may take all that was to be sent.
  const isOver = () => !mustBeCut && frames >= FRAMES / CONNECTIONS;
  while (!isCut && !isOver() && performance.now() < deadline) {
    const piece = Array.from({ length: FRAMES_AT_ONCE }, () => make(frames++));
    const isFlowing = socket.write(Buffer.concat(piece));
    if (!isFlowing) await Promise.race([drained(socket), closed]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (mustBeCut) await within(closed, { what: 'the cut', withinMs: CUT_MS });
  const result = { frames, isCut };
  socket.destroy();
  return result;
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('drain', resolve));
}

/** The CPU time that a process has used. */
function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
