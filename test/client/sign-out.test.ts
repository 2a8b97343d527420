import { Code } from '@connectrpc/connect';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Sandbox } from '../../client/sandbox.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';

let gateway: FakeGateway;
let sandbox: Sandbox;
/** What the application hears. */
let heard: string[];

beforeEach(async () => {
  gateway = new FakeGateway();
  sandbox = await gateway.connectByCookie();
  heard = [];
  sandbox.on('connection', (connection) => heard.push(JSON.stringify(connection)));
  const terminal = await sandbox.terminal.create();
  terminal.on('error', ({ code }) => heard.push(code));
  await gateway.clock.advance(0);
});

const DISCONNECTED = '{"state":"closed","reason":"disconnected"}';

describe('signOut', () => {
  it('leaves this sandbox, or all of the browser, and disconnects without an error', async () => {
    await sandbox.signOut();
    expect(gateway.signOuts).toEqual([{ all: false }]);
    expect(heard).toEqual([DISCONNECTED]);
    expect(gateway.clock.pendingTimers).toBe(0);
    await expect(sandbox.terminal.list()).rejects.toMatchObject({ code: 'closed' });

    const other = new FakeGateway();
    await (await other.connectByCookie()).signOut({ all: true });
    expect(other.signOuts).toEqual([{ all: true }]);
  });

  it('is done when the answer was lost and the repetition is refused', async () => {
    let isFirst = true;
    gateway.network.unaryFate = (method) => {
      if (method !== 'SignOut' || !isFirst) return 'pass';
      isFirst = false;
      return 'lose_response';
    };
    await sandbox.signOut({ all: true });
    expect(gateway.signOuts).toHaveLength(1);
    expect(heard).toEqual([DISCONNECTED]);
  });

  it('does not claim to have left every sandbox when this one was ended before', async () => {
    gateway.accessRefusal = refusal(Code.Unauthenticated, ErrorReason.REVOKED);
    await expect(sandbox.signOut({ all: true })).rejects.toMatchObject({ code: 'revoked' });
    await sandbox.signOut();
    expect(heard).toEqual([DISCONNECTED]);
  });

  it('leaves everything as it was when the gateway cannot be reached', async () => {
    gateway.network.unaryFate = (method) => (method === 'SignOut' ? 'lose_request' : 'pass');
    const refused = expect(sandbox.signOut()).rejects.toMatchObject({ code: 'unreachable' });
    await gateway.clock.advance(30_000);
    await refused;
    expect(sandbox.connection.state).toBe('connected');
    gateway.end(refusal(Code.Unauthenticated, ErrorReason.REVOKED));
    await gateway.clock.advance(0);
    expect(heard).toEqual(['{"state":"closed","reason":"revoked"}', 'access_ended']);
  });

  it('is refused for a token, which the backend has to revoke', async () => {
    const byToken = await gateway.connect();
    await expect(byToken.signOut()).rejects.toMatchObject({
      code: 'failed_precondition',
      message: expect.stringContaining('sessionToken.revoke'),
    });
    expect(gateway.signOuts).toEqual([]);
    expect(byToken.connection.state).toBe('connected');
    await byToken.disconnect();
    await sandbox.disconnect();
  });
});
