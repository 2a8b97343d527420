import { once } from 'node:events';
import { createServer } from 'node:net';
import type { MessageInitShape } from '@bufbuild/protobuf';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PortChange } from '../../../../gen/computesdk/v1/signal_pb.ts';
import type {
  EmitSignalRequestSchema,
  StreamSignalsRequestSchema,
  StreamSignalsResponse,
} from '../../../../gen/computesdk/v1/signal_service_pb.ts';
import { until } from '../../../support/until.ts';
import { AgentProcess } from '../support/agent-process.ts';
import { RemoteTerminal, refusalOf } from '../support/remote-terminal.ts';

type Event = StreamSignalsResponse['event'];

let agent: AgentProcess;
let signals: ReturnType<AgentProcess['signals']>;

beforeAll(async () => {
  agent = await AgentProcess.start();
  signals = agent.signals();
});

afterAll(() => agent[Symbol.asyncDispose]());

/** An open stream, read as fast as it comes. */
function open(request: MessageInitShape<typeof StreamSignalsRequestSchema> = {}) {
  const abort = new AbortController();
  const events: Event[] = [];
  const ended = (async () => {
    for await (const { event } of signals.streamSignals(request, { signal: abort.signal }))
      events.push(event);
  })().catch(() => {});
  const seen = (what: string, test: (event: Event) => boolean) =>
    until(() => events.find(test), { what });
  const leave = async () => {
    abort.abort();
    await ended;
  };
  return { events, seen, leave };
}

/** Listens on a free port and says which; ends at the first connection. */
const ONE_SHOT = `use Socket; socket(my $s, PF_INET, SOCK_STREAM, 0);
bind($s, pack_sockaddr_in(0, INADDR_LOOPBACK)); listen($s, 1); $| = 1;
print "port ", (unpack_sockaddr_in(getsockname($s)))[0], "\\n";
accept(my $c, $s); print "served\\n";`;

const isPort = (port: number, change: PortChange) => (event: Event) =>
  event.case === 'port' && event.value.port?.port === port && event.value.change === change;

describe('StreamSignals', () => {
  it('tells the ports of terminals, not those of the machine, and touches none of them', async () => {
    const foreign = createServer().listen(0, '127.0.0.1');
    await once(foreign, 'listening');
    const stream = open();
    const terminal = await RemoteTerminal.create(agent.terminals(), {
      ...{ shell: '/usr/bin/perl', args: ['-e', ONE_SHOT] },
    });
    const output = terminal.attach();
    await output.seen('port ');
    const port = Number(/port (\d+)/.exec(output.text)?.[1]);
    const opened = await stream.seen('the port', isPort(port, PortChange.OPEN));
    expect(opened?.value).toMatchObject({ port: { address: '127.0.0.1', process: 'perl' } });
    const { ports } = await signals.listPorts({});
    expect(ports.map((entry) => entry.port)).toEqual([port]);
    expect(output.text).not.toContain('served');
    await terminals().destroyTerminal({ terminalId: terminal.id });
    await stream.seen('the close', isPort(port, PortChange.CLOSE));
    const told = stream.events.filter((event) => event.case === 'port');
    expect(told).toHaveLength(2);
    await stream.leave();
    foreign.close();
    await once(foreign, 'close');
  });

  it('goes on where a reader was, with the same incarnation, and says that it lives', async () => {
    const first = open();
    const ready = await first.seen('ready', ({ case: kind }) => kind === 'ready');
    if (ready?.case !== 'ready') throw new Error('no ready');
    const { incarnation, readerId, cursor } = ready.value;
    expect(incarnation).toBe(agent.config.bootId);
    await first.leave();
    await emit({ signal: { case: 'custom', value: { name: 'while', data: 'away' } } });
    const again = open({ cursor, incarnation, readerId });
    const custom = await again.seen('what was missed', ({ case: kind }) => kind === 'custom');
    expect(custom?.value).toMatchObject({ cursor, signal: { name: 'while', data: 'away' } });
    expect(again.events[0]).toMatchObject({ case: 'ready', value: { readerId, cursor } });
    await again.seen('a sign of life', ({ case: kind }) => kind === 'keepAlive');
    await again.leave();
  });

  it('refuses a cursor beyond the end and a lease beyond the longest', async () => {
    const first = async (request: MessageInitShape<typeof StreamSignalsRequestSchema>) => {
      for await (const _message of signals.streamSignals(request)) break;
    };
    expect(await refusalOf(first({ cursor: 1_000n }))).toBe(
      'OutOfRange CURSOR_OUT_OF_RANGE cursor',
    );
    expect(await refusalOf(first({ lease: { seconds: 601n } }))).toBe(
      'InvalidArgument INVALID_ARGUMENT lease',
    );
  });
});

describe('EmitSignal', () => {
  it.each<[string, MessageInitShape<typeof EmitSignalRequestSchema>]>([
    ['signal', {}],
    ['change', { signal: { case: 'port', value: { port: 1 } } }],
    ['port', { signal: { case: 'port', value: { change: PortChange.OPEN } } }],
    ['path', { signal: { case: 'serverReady', value: { port: 1, path: '//host' } } }],
    ['message', { signal: { case: 'error', value: {} } }],
    ['name', { signal: { case: 'custom', value: {} } }],
    ['requestId', { ...custom(), requestId: 'x'.repeat(129) }],
  ])('refuses a bad %s', async (field, request) => {
    expect(await refusalOf(emit(request))).toBe(`InvalidArgument INVALID_ARGUMENT ${field}`);
  });

  it('reaches every stream', async () => {
    const streams = [open(), open()];
    for (const stream of streams) await stream.seen('ports', ({ case: kind }) => kind === 'ports');
    await emit({ signal: { case: 'error', value: { message: 'no', source: 'build' } } });
    await emit({ signal: { case: 'serverReady', value: { port: 3000, path: '/a' } } });
    for (const stream of streams) {
      const ready = await stream.seen('the last', ({ case: kind }) => kind === 'serverReady');
      expect(ready?.value).toMatchObject({ server: { port: 3000, path: '/a' } });
      const error = await stream.seen('the first', ({ case: kind }) => kind === 'error');
      expect(error?.value).toMatchObject({ failure: { message: 'no', source: 'build' } });
      await stream.leave();
    }
  });
});

function terminals() {
  return agent.terminals();
}

function emit(request: MessageInitShape<typeof EmitSignalRequestSchema>) {
  return signals.emitSignal(request);
}

function custom(): MessageInitShape<typeof EmitSignalRequestSchema> {
  return { signal: { case: 'custom', value: { name: 'x', data: '' } } };
}
