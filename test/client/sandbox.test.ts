import { Code } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { Sandbox } from '../../client/sandbox.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';

describe('Sandbox.connect', () => {
  it.each([
    ['not a url', 'url'],
    ['', 'url'],
    ['ftp://host/x', 'url'],
    ['http://user:password@host/', 'url'],
    ['http://host/?token=x', 'url'],
  ])('refuses the address %j', async (url, field) => {
    await expect(Sandbox.connect({ url, token: 'token' })).rejects.toMatchObject({
      code: 'invalid_argument',
      field,
    });
  });

  it.each(['', 'two words', 'line\nbreak', 'ünïcode'])('refuses the token %j', async (token) => {
    const refused = Sandbox.connect({ url: 'http://localhost:1/', token });
    await expect(refused).rejects.toMatchObject({ code: 'invalid_argument', field: 'token' });
  });

  it('does not repeat a refused token in the message', async () => {
    const refused = Sandbox.connect({ url: 'http://localhost:1/', token: 'top secret' });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('secret') });
  });

  it('says after five seconds that nothing answers', async () => {
    const gateway = new FakeGateway();
    gateway.network.isDown = true;
    const refused = expect(gateway.connect()).rejects.toMatchObject({ code: 'unreachable' });
    await gateway.clock.advance(5_000);
    await refused;
    expect(gateway.clock.pendingTimers).toBe(0);
  });

  it('bridges a gateway that is just starting', async () => {
    const gateway = new FakeGateway();
    gateway.network.isDown = true;
    const connecting = gateway.connect();
    await gateway.clock.advance(2_000);
    gateway.network.isDown = false;
    await gateway.clock.advance(3_000);
    const sandbox = await connecting;
    expect(sandbox.connection).toEqual({ state: 'connected' });
    await sandbox.disconnect();
  });

  it.each([
    ['unauthenticated', Code.Unauthenticated, ErrorReason.UNAUTHENTICATED],
    ['revoked', Code.Unauthenticated, ErrorReason.REVOKED],
    ['permission_denied', Code.PermissionDenied, ErrorReason.PERMISSION_DENIED],
    ['not_found', Code.NotFound, ErrorReason.NOT_FOUND],
  ] as const)('rejects with %s at once', async (code, status, reason) => {
    const gateway = new FakeGateway();
    gateway.accessRefusal = refusal(status, reason);
    await expect(gateway.connect()).rejects.toMatchObject({ code });
    expect(gateway.network.callsOf('WhoAmI')).toBe(1);
    expect(gateway.clock.pendingTimers).toBe(0);
  });

  it('stops when the signal fires', async () => {
    const gateway = new FakeGateway();
    gateway.network.isBlackHole = true;
    const controller = new AbortController();
    const refused = expect(gateway.connect(controller.signal)).rejects.toMatchObject({
      code: 'canceled',
    });
    controller.abort();
    await refused;
    expect(gateway.clock.pendingTimers).toBe(0);
  });
});
