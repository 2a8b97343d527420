import { WebSocket } from 'ws';
import { CONNECTION_STREAM, encodeFrame, FRAME_PROTOCOL, SOCKET_PATH } from '../../frames/frame.ts';
import { delay } from '../../test/support/until.ts';
import type { Target } from '../figures.ts';
import type { Access, Stage } from '../stage.ts';
import { agentMemory, gatewayMemory, type Memory } from '../support/memory.ts';
import { type RawClient, rawClient } from '../support/raw-client.ts';

const suite = 'idle';
/** How long everything settles before it is weighed, in milliseconds. */
const SETTLE_MS = 1_500;
/** How many connections are made at once: an address has 64 that have not said who they are. */
const AT_ONCE = 32;
const SOCKET_TARGET: Target = { of: 'median', bound: 'at most', limit: 40, chase: 22 };
const GATEWAY_TARGET: Target = { of: 'median', bound: 'at most', limit: 20, chase: 1 };
const AGENT_TARGET: Target = { of: 'median', bound: 'at most', limit: 20, chase: 20 };

type Seat = {
  readonly access: Access;
  readonly client: RawClient;
  readonly terminalId: string;
  readonly agentPid: number;
};

/** What idle streams and idle WebSockets cost, as the slope between few and many. */
export async function measureIdle(stage: Stage): Promise<void> {
  const seats = await Promise.all(
    Array.from({ length: stage.scale.sandboxesForIdle }, () => sit(stage)),
  );
  const streams = new AbortController();
  const attach = (seat: Seat) => openStream(seat, streams.signal);
  const gateway: Memory[] = [];
  const agents: Memory[] = [];
  await climb(stage, seats, attach, async () => {
    gateway.push(await gatewayMemory(stage.gateway));
    agents.push(await agentsMemory(seats));
  });
  streams.abort();
  report(stage, 'a stream, in the gateway', gateway, GATEWAY_TARGET);
  report(stage, 'a stream, in the agent', agents, AGENT_TARGET);
  await delay(SETTLE_MS);
  const sockets: WebSocket[] = [];
  const weights: Memory[] = [];
  const open = async (seat: Seat) => {
    sockets.push(await openSocket(seat.access));
  };
  await climb(stage, seats, open, async () => {
    weights.push(await gatewayMemory(stage.gateway));
  });
  report(stage, 'a WebSocket, in the gateway', weights, SOCKET_TARGET);
  for (const socket of sockets) socket.terminate();
}

async function sit(stage: Stage): Promise<Seat> {
  const { sandbox, access } = await stage.newSandbox();
  const client = stage.adopt(rawClient(access, 'websocket'));
  const { terminal } = await client.terminals.createTerminal({ shell: '/bin/cat' });
  const [agentPid] = stage.gateway.agentPids(sandbox.id);
  if (!terminal || agentPid === undefined) throw new Error('the sandbox has no agent');
  return { access, client, terminalId: terminal.id, agentPid };
}

/** Opens more and more, spread over the sandboxes, and weighs at each step. */
async function climb(
  { scale }: Stage,
  seats: readonly Seat[],
  open: (seat: Seat) => Promise<void>,
  weigh: () => Promise<void>,
): Promise<void> {
  let count = 0;
  for (const step of scale.idle) {
    while (count < step) {
      const batch = Array.from({ length: Math.min(AT_ONCE, step - count) }, () => {
        const seat = seats[count % seats.length];
        count += 1;
        return seat ? open(seat) : Promise.resolve();
      });
      await Promise.all(batch);
    }
    await delay(SETTLE_MS);
    await weigh();
  }
}

/** A stream that is read for as long as it lives. */
async function openStream({ client, terminalId }: Seat, signal: AbortSignal): Promise<void> {
  const stream = client.terminals.attachTerminal({ terminalId }, { signal });
  const messages = stream[Symbol.asyncIterator]();
  await messages.next();
  const read = async () => {
    while (!(await messages.next()).done);
  };
  read().catch(() => {});
}

/** A WebSocket whose credential was accepted, and on which nothing happens. */
async function openSocket({ url, token }: Access): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}${SOCKET_PATH}`, FRAME_PROTOCOL);
  const welcomed = new Promise((resolve, reject) => {
    socket.once('message', resolve);
    socket.once('error', reject);
  });
  socket.once('open', () => {
    const value = { authorization: `Bearer ${token}` };
    socket.send(encodeFrame(CONNECTION_STREAM, { case: 'hello', value }));
  });
  await welcomed;
  return socket;
}

async function agentsMemory(seats: readonly Seat[]): Promise<Memory> {
  let total = { resident: 0, heap: 0 };
  for (const { agentPid } of seats) {
    const { resident, heap = Number.NaN } = await agentMemory(agentPid);
    total = { resident: total.resident + resident, heap: total.heap + heap };
  }
  return total;
}

/** The weight of one, from each step to the next, and the target by what is held. */
function report(
  { scale, figures }: Stage,
  what: string,
  weights: readonly Memory[],
  target: Target,
): void {
  for (const [kind, title] of [
    ['heap', 'heap and buffers'],
    ['resident', 'resident'],
  ] as const) {
    const values = weights.slice(1).map((weight, index) => {
      const [more, less] = [weight[kind] ?? Number.NaN, weights[index]?.[kind] ?? Number.NaN];
      const count = (scale.idle[index + 1] ?? 0) - (scale.idle[index] ?? 0);
      return (more - less) / 1_000 / count;
    });
    if (values.every(Number.isFinite)) {
      figures.add({ suite, what: `${what}: ${title}`, unit: 'KB', values, target });
    }
  }
}
