import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { ConnectionState } from '../../client/connection/connection-state.ts';
import { Sandbox } from '../../client/index.ts';
import { newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { type Middlebox, startMiddlebox } from '../support/middlebox.ts';
import { timeBound } from '../support/time-bound.ts';
import { until } from '../support/until.ts';

let gateway: TestGateway;
let sandboxUrl: string;
let token: string;

beforeAll(async () => {
  gateway = await TestGateway.start();
  const created = await newSandbox(gateway);
  ({ url: sandboxUrl } = created.sandbox);
  token = created.token;
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

/** A client behind a box, and what its application hears of the connection. */
async function behind(box: Middlebox, transport?: 'websocket' | 'http') {
  const { pathname } = new URL(sandboxUrl);
  const states: ConnectionState[] = [];
  const sandbox = await Sandbox.connect({
    ...{ url: `${box.url}${pathname}`, token },
    ...(transport && { transport }),
  });
  sandbox.on('connection', (state) => states.push(state));
  return { sandbox, states };
}

function noticeOf(state: ConnectionState | undefined): string | undefined {
  return state?.state === 'connected' ? state.notice?.code : undefined;
}

/** Types into a shell and sees the answer. */
async function works(sandbox: Sandbox): Promise<void> {
  const terminal = await sandbox.terminal.create({ shell: '/bin/sh' });
  let output = '';
  terminal.on('output', (text) => {
    output += text;
  });
  void terminal.write('echo $((40 + 2))\n');
  await until(() => output.includes('42'), { what: 'the answer of the shell' });
  await terminal.destroy();
}

describe('behind a box that', () => {
  it('lets WebSockets pass, one carries everything', async () => {
    await using box = await startMiddlebox(gateway.port);
    const { sandbox, states } = await behind(box);
    await works(sandbox);
    expect([box.upgrades, sandbox.connection, states]).toEqual([1, { state: 'connected' }, []]);
    await sandbox.disconnect();
  });

  it('refuses WebSockets, HTTP is used and the application hears why', async () => {
    await using box = await startMiddlebox(gateway.port);
    box.webSockets = 'refuse';
    const { sandbox } = await behind(box);
    expect(noticeOf(sandbox.connection)).toBe('websocket_unavailable');
    await works(sandbox);
    expect(box.upgrades).toBe(1);
    await sandbox.disconnect();
  });

  it('is left aside, since the page may make no WebSocket at all: HTTP is used', async () => {
    await using box = await startMiddlebox(gateway.port);
    vi.stubGlobal(
      'WebSocket',
      class {
        constructor() {
          throw new DOMException('not allowed here', 'SecurityError');
        }
      },
    );
    const { sandbox } = await behind(box);
    expect(noticeOf(sandbox.connection)).toBe('websocket_unavailable');
    await works(sandbox);
    await sandbox.disconnect();
    vi.unstubAllGlobals();
  });

  it('never answers requests for WebSockets, HTTP is used within 5 s', async () => {
    await using box = await startMiddlebox(gateway.port);
    box.webSockets = 'swallow';
    const startedAt = performance.now();
    const { sandbox } = await behind(box);
    const tookMs = performance.now() - startedAt;
    expect(tookMs).toBeLessThan(await timeBound(5_000));
    expect(noticeOf(sandbox.connection)).toBe('websocket_unavailable');
    await works(sandbox);
    await sandbox.disconnect();
  });

  it('cuts every WebSocket right after it opened, HTTP is used after the third', async () => {
    await using box = await startMiddlebox(gateway.port);
    box.webSockets = 'cut';
    const { sandbox, states } = await behind(box);
    const terminal = await sandbox.terminal.create({ shell: '/bin/sh' });
    let output = '';
    terminal.on('output', (text) => {
      output += text;
    });
    await until(() => noticeOf(states.at(-1)) === 'websocket_unavailable', {
      ...{ what: 'HTTP', withinMs: 20_000 },
    });
    const { upgrades } = box;
    void terminal.write('echo $((40 + 2))\n');
    await until(() => output.includes('42'), { what: 'the answer of the shell' });
    expect([upgrades, box.upgrades]).toEqual([3, 3]);
    await sandbox.disconnect();
  });

  it('gathers streams is named, where HTTP is used', async () => {
    await using box = await startMiddlebox(gateway.port);
    box.isBuffering = true;
    const { sandbox, states } = await behind(box, 'http');
    const terminal = await sandbox.terminal.create({ shell: '/bin/sh' });
    terminal.on('output', () => {});
    terminal.on('error', () => {});
    await until(() => noticeOf(states.at(-1)) === 'buffering_proxy', { what: 'the notice' });
    expect(box.upgrades).toBe(0);
    await sandbox.disconnect();
  });

  it('refuses WebSockets makes an application fail that insists on them', async () => {
    await using box = await startMiddlebox(gateway.port);
    box.webSockets = 'refuse';
    await expect(behind(box, 'websocket')).rejects.toMatchObject({ code: 'unreachable' });
  });
});

it('refuses a transport that there is none of', async () => {
  const options = { url: sandboxUrl, token, transport: 'carrier pigeon' };
  // What a caller without types may pass.
  await expect(Sandbox.connect(options as never)).rejects.toMatchObject({
    ...{ code: 'invalid_argument', field: 'transport' },
  });
});
