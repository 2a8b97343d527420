import { timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code, createRouterTransport } from '@connectrpc/connect';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { compute } from '../../client/compute.ts';
import { Gateway } from '../../client/gateway.ts';
import { ManagedSandboxes } from '../../client/managed-sandboxes.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { SandboxStatus } from '../../gen/computesdk/v1/sandbox_pb.ts';
import { SandboxService } from '../../gen/computesdk/v1/sandbox_service_pb.ts';
import {
  type CreateSessionTokenRequest,
  SessionTokenService,
} from '../../gen/computesdk/v1/session_token_service_pb.ts';
import { FakeClock } from './support/fake-clock.ts';
import { refusal } from './support/fake-terminal.ts';
import { FaultyNetwork } from './support/faulty-network.ts';

let clock: FakeClock;
let network: FaultyNetwork;
let sandboxes: ManagedSandboxes;
/** Sandboxes by the request id that made them. */
let created: Map<string, string>;
let tokenRequests: CreateSessionTokenRequest[];

beforeEach(() => {
  clock = new FakeClock();
  network = new FaultyNetwork();
  created = new Map();
  tokenRequests = [];
  const transport = network.through(routes());
  const gateway = new Gateway({
    ...{ gatewayUrl: 'http://gateway.test/', apiKey: 'key', clock },
    transport: () => transport,
  });
  sandboxes = new ManagedSandboxes(() => gateway);
});

afterEach(() => {
  expect(clock.pendingTimers).toBe(0);
});

function record(id: string) {
  return {
    id,
    url: `http://gateway.test/sandboxes/${id}`,
    status: SandboxStatus.RUNNING,
    createdAt: timestampFromMs(1_000),
    expiresAt: timestampFromMs(2_000),
  };
}

function routes() {
  return createRouterTransport((router) => {
    router.service(SandboxService, {
      createSandbox: ({ requestId }) => {
        const id = created.get(requestId) ?? `sbx${created.size}`;
        created.set(requestId, id);
        return { sandbox: record(id) };
      },
      findSandbox: () => ({}),
      listSandboxes: ({ pageToken }) => {
        const page = Number(pageToken || '0');
        const nextPageToken = page < 2 ? String(page + 1) : '';
        return { sandboxes: [record(`sbx${page}a`), record(`sbx${page}b`)], nextPageToken };
      },
      getSandbox: () => {
        throw refusal(Code.NotFound, ErrorReason.NOT_FOUND);
      },
    });
    router.service(SessionTokenService, {
      createSessionToken: (request) => {
        tokenRequests.push(request);
        return { sessionToken: { id: 'tok1', createdAt: timestampFromMs(1_000) }, token: 'secret' };
      },
    });
  });
}

describe('compute.sandbox', () => {
  it('makes one sandbox although answers are lost', async () => {
    let losses = 4;
    network.unaryFate = () => (losses-- > 0 ? 'lose_response' : 'pass');
    const creation = sandboxes.create();
    await clock.advance(30_000);
    expect((await creation).id).toBe('sbx0');
    expect(created.size).toBe(1);
    expect(network.calls).toHaveLength(5);
    expect((await sandboxes.create()).id).toBe('sbx1');
  });

  it('gives up after 5 seconds on a gateway that never answered, after 30 on one that did', async () => {
    const elapsed = async (): Promise<number> => {
      const startedMs = clock.now();
      let endedMs = 0;
      const refused = sandboxes.find({ name: 'x' }).then(
        () => expect.unreachable(),
        (error) => {
          expect(error).toMatchObject({ code: 'unreachable', field: 'gatewayUrl' });
          endedMs = clock.now();
        },
      );
      await clock.advance(31_000);
      await refused;
      return endedMs - startedMs;
    };
    network.isDown = true;
    expect(await elapsed()).toBeLessThanOrEqual(5_000);
    network.isDown = false;
    expect(await sandboxes.find({ name: 'x' })).toBeNull();
    network.isDown = true;
    const longMs = await elapsed();
    expect(longMs).toBeGreaterThan(20_000);
    expect(longMs).toBeLessThanOrEqual(30_000);
  });

  it('waits for a first answer that is slow, and for none that never comes', async () => {
    network.isBlackHole = true;
    const search = sandboxes.find({ name: 'x' });
    let problem: unknown;
    search.catch((error: unknown) => {
      problem = error;
    });
    await clock.advance(14_000);
    expect(problem).toBeUndefined();
    await clock.advance(2_000);
    expect(problem).toMatchObject({ code: 'unreachable', field: 'gatewayUrl' });
  });

  it('does not hang in a black hole', async () => {
    await sandboxes.find({ name: 'x' });
    network.isBlackHole = true;
    const search = sandboxes.find({ name: 'x' });
    await clock.advance(10_000);
    network.isBlackHole = false;
    await clock.advance(10_000);
    expect(await search).toBeNull();
  });

  it('lists all pages, or page by page', async () => {
    const ids = (await sandboxes.list()).map(({ id }) => id);
    expect(ids).toEqual(['sbx0a', 'sbx0b', 'sbx1a', 'sbx1b', 'sbx2a', 'sbx2b']);
    for await (const page of sandboxes.pages()) {
      expect(page).toHaveLength(2);
      break;
    }
    expect(network.callsOf('ListSandboxes')).toBe(4);
  });

  it('gives dates as dates and a time never used as undefined', async () => {
    const sandbox = await sandboxes.create();
    expect([sandbox.createdAt, sandbox.expiresAt]).toEqual([new Date(1_000), new Date(2_000)]);
    const session = await sandbox.sessionToken.create({ expiresIn: 86_400 });
    expect(session).toMatchObject({ token: 'secret', lastUsedAt: undefined, revokedAt: undefined });
    expect(tokenRequests[0]?.expiresIn?.seconds).toBe(86_400n);
    expect(tokenRequests[0]?.requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  it.each([0, -1, Number.NaN, Infinity, -Infinity, 2 ** 63, '86400' as unknown as number])(
    'refuses expiresIn %s before any call',
    async (expiresIn) => {
      const sandbox = await sandboxes.create();
      await expect(sandbox.sessionToken.create({ expiresIn })).rejects.toMatchObject({
        code: 'invalid_argument',
        field: 'expiresIn',
      });
      expect(tokenRequests).toHaveLength(0);
    },
  );

  it('keeps the code of a refusal', async () => {
    await expect(sandboxes.getById('sbx1')).rejects.toMatchObject({ code: 'not_found' });
    expect(network.calls).toHaveLength(1);
  });
});

describe('compute', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
    compute.setConfig({});
  });

  it('names the setting that is missing', async () => {
    vi.stubEnv('COMPUTESDK_API_KEY', '');
    await expect(compute.sandbox.create()).rejects.toMatchObject({
      code: 'invalid_argument',
      field: 'apiKey',
      message: expect.stringContaining('COMPUTESDK_API_KEY'),
    });
  });

  it('refuses a malformed gateway address, of the environment or of its argument', async () => {
    vi.stubEnv('COMPUTESDK_API_KEY', 'key');
    vi.stubEnv('COMPUTESDK_GATEWAY_URL', 'localhost');
    const refusals = [
      compute.sandbox.list(),
      compute({ gatewayUrl: 'http://[' }).sandbox.list(),
      compute({ apiKey: 'two words', gatewayUrl: 'http://localhost:4000' }).sandbox.list(),
    ];
    const fields = ['gatewayUrl', 'gatewayUrl', 'apiKey'];
    for (const [index, refused] of refusals.entries()) {
      await expect(refused).rejects.toMatchObject({
        code: 'invalid_argument',
        field: fields[index],
      });
    }
  });
});
