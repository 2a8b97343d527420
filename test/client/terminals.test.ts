import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connect();
});

afterEach(async () => {
  await sandbox.disconnect();
});

describe('the terminals of a sandbox', () => {
  it('create one terminal, once although every answer is lost at first', async () => {
    let failures = 3;
    gateway.network.unaryFate = (method) => {
      if (method !== 'CreateTerminal' || failures === 0) return 'pass';
      failures -= 1;
      return 'lose_response';
    };
    const creation = sandbox.terminal.create();
    await gateway.clock.advance(10_000);
    await creation;
    expect(gateway.terminals.size).toBe(1);
    expect(gateway.network.callsOf('CreateTerminal')).toBe(4);
  });

  it('give a creation up after 30 seconds, with the cause', async () => {
    gateway.network.unaryFate = (method) => (method === 'CreateTerminal' ? 'lose_request' : 'pass');
    const creation = expect(sandbox.terminal.create()).rejects.toMatchObject({
      code: 'unreachable',
    });
    await gateway.clock.advance(30_000);
    await creation;
  });

  it('name the terminal that does not exist', async () => {
    await expect(sandbox.terminal.retrieve('trm9')).rejects.toMatchObject({ code: 'not_found' });
    await settle();
    expect(sandbox.connection.state).toBe('connected');
  });

  it('stop a call at once when its signal fires', async () => {
    gateway.network.unaryFate = () => 'black_hole';
    const controller = new AbortController();
    const creation = sandbox.terminal.create({ signal: controller.signal });
    await settle();
    controller.abort();
    await expect(creation).rejects.toMatchObject({ code: 'canceled' });
  });
});
