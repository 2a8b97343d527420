import { Code, type ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { FakeClock } from '../../../support/fake-clock.ts';
import { timeBound } from '../../../support/time-bound.ts';
import { within } from '../../../support/until.ts';
import { failure, read, reasonOf, withToken } from './calls.ts';
import {
  type FakeAgent,
  type Gateway,
  SANDBOX_ID,
  startAgent,
  startGateway,
  startTerminalAgent,
  TOKEN_ID,
} from './fixture.ts';

const failed = () => Promise.reject(new Error('the stream was not ended'));

/** A stream that is ended must have ended at the client by then, in milliseconds. */
let endWithinMs: number;
const REVOKED = new DomainError('REVOKED', 'the session token was revoked');

let agent: FakeAgent;
let gateway: Gateway;

beforeAll(async () => {
  endWithinMs = await timeBound(100);
});
afterEach(async () => {
  await gateway.close();
  await agent.close();
});

const ways: Array<[string, (baseUrl: string) => Transport]> = [
  ['Connect, HTTP/1.1', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '1.1' })],
  ['Connect, HTTP/2', (baseUrl) => createConnectTransport({ baseUrl, httpVersion: '2' })],
  ['gRPC, HTTP/2', (baseUrl) => createGrpcTransport({ baseUrl })],
  ['gRPC-web, HTTP/1.1', (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' })],
  ['gRPC-web, HTTP/2', (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: '2' })],
];

describe.each(ways)('a stream by %s', (_way, transport) => {
  it('ends with the typed reason while it floods, and the agent is told', async () => {
    let aborts = 0;
    agent = await startTerminalAgent({
      async *attachTerminal(_request, context) {
        context.signal.addEventListener('abort', () => {
          aborts += 1;
        });
        for (;;) yield { event: { case: 'output', value: { data: new Uint8Array(60_000) } } };
      },
    });
    gateway = await startGateway({ socketPath: agent.socketPath });
    let isRead: Promise<void> | undefined;
    const { error, tookMs } = await endLive(transport, (registry) => {
      isRead = registry.endPrincipal(TOKEN_ID, REVOKED);
    });
    // The client has read its end, which is not waited for any longer.
    await within(isRead ?? failed(), { what: 'the end to be read', withinMs: endWithinMs });
    expect([error.code, error.rawMessage]).toEqual([Code.Unauthenticated, REVOKED.message]);
    expect(reasonOf(error)).toBe(ErrorReason.REVOKED);
    expect(tookMs).toBeLessThan(endWithinMs);
    await expect.poll(() => aborts).toBe(1);
    expect(gateway.calls.size).toBe(0);
  });

  it('ends with the typed reason while an envelope is on its way', async () => {
    // One whole message, then the beginning of another.
    agent = await startAgent((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': request.headers['content-type'] ?? '' });
      response.write(Buffer.from([0, 0, 0, 0, 0, 0, 0, 1, 0, 1, 2, 3]));
    });
    gateway = await startGateway({ socketPath: agent.socketPath });
    const { error } = await endLive(transport, (registry) => {
      registry.endSandbox(SANDBOX_ID, new DomainError('DESTROYED', 'the sandbox was destroyed'));
    });
    expect([error.code, reasonOf(error)]).toEqual([Code.NotFound, ErrorReason.DESTROYED]);
  });

  it('ends with the typed reason before its answer began', async () => {
    agent = await startAgent(() => {});
    gateway = await startGateway({ socketPath: agent.socketPath });
    const call = failure(read(terminals(transport).attachTerminal({}, withToken())));
    await expect.poll(() => gateway.calls.size).toBe(1);
    gateway.calls.endAll(new DomainError('SHUTTING_DOWN', 'the server shuts down'));
    expect(reasonOf(await call)).toBe(ErrorReason.SHUTTING_DOWN);
  });

  it('tells that the agent died', async () => {
    agent = await startTerminalAgent({
      async *attachTerminal() {
        yield { event: { case: 'ready', value: {} } };
        await new Promise(() => {});
      },
    });
    gateway = await startGateway({ socketPath: agent.socketPath });
    const { error } = await endLive(transport, () => void agent.close());
    expect([error.code, reasonOf(error)]).toEqual([
      Code.Unavailable,
      ErrorReason.AGENT_UNAVAILABLE,
    ]);
    agent = await startAgent(() => {});
  });

  /** Opens a stream, ends it after its first message, and reads what is left. */
  async function endLive(make: typeof transport, end: (calls: Gateway['calls']) => void) {
    let endedAt = 0;
    const stream = terminals(make).attachTerminal({}, withToken());
    const error: ConnectError = await failure(
      (async () => {
        for await (const _ of stream) {
          if (endedAt > 0) continue;
          endedAt = performance.now();
          end(gateway.calls);
        }
      })(),
    );
    return { error, tookMs: performance.now() - endedAt };
  }

  function terminals(make: typeof transport) {
    return createClient(TerminalService, make(gateway.sandboxUrl));
  }
});

describe('a call into a sandbox', () => {
  const terminals = () =>
    createClient(
      TerminalService,
      createConnectTransport({ baseUrl: gateway.sandboxUrl, httpVersion: '1.1' }),
    );

  it('without a stream ends with the typed reason too', async () => {
    agent = await startAgent(() => {});
    gateway = await startGateway({ socketPath: agent.socketPath });
    const call = failure(terminals().writeTerminal({}, withToken()));
    await expect.poll(() => gateway.calls.size).toBe(1);
    void gateway.calls.endPrincipal(TOKEN_ID, REVOKED);
    expect(reasonOf(await call)).toBe(ErrorReason.REVOKED);
  });

  it('never reaches the agent when it is ended on its way', async () => {
    const seen: Array<string | undefined> = [];
    agent = await startAgent((request) => {
      seen.push(request.url);
    });
    let proceed = () => {};
    const beforeDial = () =>
      new Promise<void>((resolve) => {
        proceed = resolve;
      });
    gateway = await startGateway({ socketPath: agent.socketPath, beforeDial });
    const call = failure(terminals().writeTerminal({}, withToken()));
    await expect.poll(() => gateway.calls.size).toBe(1);
    void gateway.calls.endPrincipal(TOKEN_ID, REVOKED);
    proceed();
    expect(reasonOf(await call)).toBe(ErrorReason.REVOKED);
    const next = failure(terminals().listTerminals({}, withToken()));
    await expect.poll(() => gateway.calls.size).toBe(1);
    proceed();
    await expect.poll(() => seen[0]).toMatch('ListTerminals');
    void gateway.calls.endPrincipal(TOKEN_ID, REVOKED);
    await next;
  });

  it('ends with its token', async () => {
    const clock = new FakeClock();
    agent = await startAgent(() => {});
    const expiresAt = clock.now() + 1_000;
    gateway = await startGateway({ socketPath: agent.socketPath, clock, expiresAt });
    const call = failure(read(terminals().attachTerminal({}, withToken())));
    await expect.poll(() => gateway.calls.size).toBe(1);
    clock.advance(1_000);
    expect(reasonOf(await call)).toBe(ErrorReason.EXPIRED);
  });
});
