import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import {
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from '@connectrpc/connect-node';
import { expect, test } from 'vitest';
import { AuthService } from '../../../../gen/computesdk/v1/auth_service_pb.ts';
import { ErrorDetailSchema, ErrorReason } from '../../../../gen/computesdk/v1/error_pb.ts';
import { TerminalService } from '../../../../gen/computesdk/v1/terminal_service_pb.ts';
import { RetryInfoSchema } from '../../../../gen/google/rpc/error_details_pb.ts';
import { ADDRESS_BURST } from '../../../../server/gateway/http/address-limiter.ts';
import { API_KEY, NEVER, PLAIN_SANDBOX } from '../support/test-core.ts';
import { testFront } from '../support/test-front.ts';

const CLIENT = { 'x-forwarded-for': '203.0.113.9' };

/** A gateway behind a proxy on this machine, with one client that has nothing left. */
async function frontWithGuesser() {
  const front = await testFront({ trustedProxies: ['127.0.0.1'] });
  const { id } = await front.sandboxes.create(front.owner, PLAIN_SANDBOX, NEVER);
  const guess = () =>
    fetch(`${front.url}/computesdk.v1.AuthService/WhoAmI`, {
      method: 'POST',
      headers: { ...CLIENT, 'content-type': 'application/json', authorization: 'Bearer guess' },
      body: '{}',
    }).then((answer) => answer.arrayBuffer());
  for (let index = 0; index < ADDRESS_BURST; index += 100) {
    await Promise.all(Array.from({ length: 100 }, guess));
  }
  return { ...front, sandboxUrl: `${front.url}/sandboxes/${id}` };
}

async function errorOf(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (error) {
    return ConnectError.from(error);
  }
  throw new Error('the call should have failed');
}

test('an address that guesses is told when to come back, in every protocol; others are let in', async () => {
  const front = await frontWithGuesser();
  const options = { baseUrl: front.sandboxUrl, httpVersion: '1.1' as const };
  const transports: Transport[] = [
    createConnectTransport(options),
    createGrpcTransport(options),
    createGrpcWebTransport(options),
  ];
  const headers = { ...CLIENT, authorization: 'Bearer guess' };
  for (const transport of transports) {
    const calls = [
      createClient(AuthService, transport).whoAmI({}, { headers }),
      createClient(TerminalService, transport).listTerminals({}, { headers }),
      createClient(TerminalService, transport)
        .attachTerminal({}, { headers })
        [Symbol.asyncIterator]()
        .next(),
    ];
    for (const call of calls) {
      const error = await errorOf(call);
      expect(error.code).toBe(Code.ResourceExhausted);
      expect(error.findDetails(ErrorDetailSchema)).toMatchObject([
        { reason: ErrorReason.RATE_LIMITED, retryAfter: { seconds: 1n } },
      ]);
      expect(error.findDetails(RetryInfoSchema)).toMatchObject([{ retryDelay: { seconds: 1n } }]);
      expect(error.metadata.get('retry-after')).toBe('1');
    }
  }
  for (const base of [front.url, front.sandboxUrl]) {
    const answer = await fetch(`${base}/computesdk.v1.AuthService/WhoAmI`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json' },
      body: '{}',
    });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([429, '1']);
  }
  const authorization = `Bearer ${API_KEY}`;
  const path = '/computesdk.v1.AuthService/WhoAmI';
  const answers = await Promise.all([
    front.post(path, {}, { authorization, ...CLIENT }),
    front.post(path, {}, { authorization, 'x-forwarded-for': '203.0.113.10' }),
    front.post(path, {}, { authorization }),
  ]);
  expect(answers.map(({ status }) => status)).toEqual([429, 200, 200]);
}, 60_000);
