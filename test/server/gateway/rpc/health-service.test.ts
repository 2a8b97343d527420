import { Code, ConnectError, createClient, createRouterTransport } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import {
  Health,
  HealthCheckResponse_ServingStatus as Status,
} from '../../../../gen/grpc/health/v1/health_pb.ts';
import { healthService } from '../../../../server/gateway/rpc/health-service.ts';
import { toConnectError } from '../../../../server/rpc/connect-error.ts';

function setUp() {
  const stopping = new AbortController();
  const service = healthService({ services: [TerminalService], stopping: stopping.signal });
  const transport = createRouterTransport((router) => router.service(Health, service), {
    router: {
      interceptors: [
        (next) => async (request) => {
          try {
            return await next(request);
          } catch (error) {
            throw toConnectError(error);
          }
        },
      ],
    },
  });
  return { stopping, client: createClient(Health, transport) };
}

describe('the health service', () => {
  it.each(['', TerminalService.typeName])('says that "%s" is served', async (service) => {
    const { client, stopping } = setUp();
    expect((await client.check({ service })).status).toBe(Status.SERVING);
    stopping.abort();
    expect((await client.check({ service })).status).toBe(Status.NOT_SERVING);
  });

  it('names every service', async () => {
    const { statuses } = await setUp().client.list({});
    expect(Object.keys(statuses)).toEqual(['', TerminalService.typeName]);
  });

  it('does not know other services', async () => {
    const error = await setUp().client.check({ service: '__proto__' }).catch(ConnectError.from);
    expect(error).toMatchObject({ code: Code.NotFound });
  });

  it('tells a watcher when the server begins to stop, and ends', async () => {
    const { client, stopping } = setUp();
    const seen: Status[] = [];
    for await (const { status } of client.watch({})) {
      seen.push(status);
      stopping.abort();
    }
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING]);
  });

  it('lets a watcher wait for an unknown service until it leaves', async () => {
    const leave = new AbortController();
    const stream = setUp().client.watch({ service: 'x' }, { signal: leave.signal });
    const seen: Status[] = [];
    const ended = (async () => {
      for await (const { status } of stream) {
        seen.push(status);
        leave.abort();
      }
    })();
    await expect(ended).rejects.toMatchObject({ code: Code.Canceled });
    expect(seen).toEqual([Status.SERVICE_UNKNOWN]);
  });

  it('limits the watchers, and gives a place back to the next', async () => {
    const { client } = setUp();
    const leave = new AbortController();
    const streams = Array.from({ length: 64 }, () =>
      client.watch({}, { signal: leave.signal })[Symbol.asyncIterator](),
    );
    await Promise.all(streams.map((stream) => stream.next()));
    await expect(client.watch({})[Symbol.asyncIterator]().next()).rejects.toThrow();
    leave.abort();
    await Promise.all(streams.map((stream) => stream.next().catch(() => {})));
    const next = new AbortController();
    const first = () =>
      client
        .watch({}, { signal: next.signal })
        [Symbol.asyncIterator]()
        .next()
        .then(({ value }) => value?.status)
        .catch(() => undefined);
    await expect.poll(first).toBe(Status.SERVING);
    next.abort();
  });
});
