import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Client, Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createSandboxTransport } from '../../client/index.ts';
import { ErrorDetailSchema, ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import {
  type StreamTerminalInputRequestSchema,
  TerminalService,
} from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { deferred } from '../../server/core/deferred.ts';
import { newId } from '../../server/core/id.ts';
import { bearer, gatewayClients, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { until } from '../support/until.ts';

type Request = MessageInitShape<typeof StreamTerminalInputRequestSchema>;

let gateway: TestGateway;
let sandboxId: string;
let url: string;
let token: string;
let terminals: Client<typeof TerminalService>;
let close: () => void;

beforeAll(async () => {
  gateway = await TestGateway.start();
  const created = await newSandbox(gateway);
  ({ url, id: sandboxId } = created.sandbox);
  token = created.token;
  const transport = createSandboxTransport({ url, token, transport: 'websocket' });
  terminals = createClient(TerminalService, transport);
  close = () => transport.close();
}, 60_000);
afterAll(async () => {
  close();
  await gateway.stop();
}, 60_000);

/** What {@link newTerminal} prints first. */
const READY = 'ready:';

/** A terminal that prints what it is given, once: before it is ready the system would, too. */
async function newTerminal(client = terminals) {
  const args = ['-c', `stty raw -echo; printf ${READY}; exec cat`];
  const { terminal, writerId } = await client.createTerminal({ shell: '/bin/sh', args });
  const terminalId = terminal?.id ?? '';
  await until(async () => (await outputOf(terminalId)) === READY, { what: 'the terminal' });
  return { terminalId, writerId };
}

/** What a terminal has printed until now. */
async function outputOf(terminalId: string): Promise<string> {
  let output = '';
  let end = 0n;
  const attached = terminals.attachTerminal({ terminalId, cursor: 0n });
  for await (const { event } of attached) {
    if (event.case === 'ready') end = event.value.replayUntil;
    if (event.case === 'output') output += Buffer.from(event.value.data).toString();
    if (BigInt(output.length) >= end) break;
  }
  return output;
}

/** Sends requests and keeps the stream open. Returns the answers; rejects with what it ended with. */
async function answersTo(
  client: Client<typeof TerminalService>,
  requests: readonly Request[],
): Promise<string[]> {
  const answers: string[] = [];
  const answered = deferred();
  async function* sent() {
    yield* requests;
    await answered.promise;
  }
  try {
    for await (const { sequence, duplicate } of client.streamTerminalInput(sent())) {
      answers.push(`${sequence}${duplicate ? ' again' : ''}`);
      if (answers.length === requests.length) answered.resolve();
    }
  } finally {
    answered.resolve();
  }
  return answers;
}

async function refusalOf(task: Promise<unknown>) {
  const error = ConnectError.from(await task.catch((thrown: unknown) => thrown));
  const [detail] = error.findDetails(ErrorDetailSchema);
  const reason = Object.entries(ErrorReason).find(([, value]) => value === detail?.reason)?.[0];
  return [Code[error.code], reason, detail?.field];
}

describe('StreamTerminalInput', () => {
  it('applies each input once and in order, whichever way it came before', async () => {
    const { terminalId, writerId } = await newTerminal();
    const input = (sequence: number) => ({
      ...{ terminalId, writerId },
      ...{ sequence: BigInt(sequence), data: Buffer.from(`${sequence},`) },
    });
    await terminals.writeTerminal(input(1));
    const first = await answersTo(terminals, [1, 2, 3].map(input));
    expect(first).toEqual(['1 again', '2', '3']);
    // 5 waits for 4, which comes in a call.
    const late = answersTo(terminals, [5, 6].map(input));
    await terminals.writeTerminal(input(4));
    expect(await late).toEqual(['5', '6']);
    expect((await terminals.writeTerminal(input(6))).duplicate).toBe(true);
    await until(async () => (await outputOf(terminalId)) === `${READY}1,2,3,4,5,6,`, {
      what: 'all that was typed, once',
    });
  });

  it('names what is wrong with an input', async () => {
    const { terminalId, writerId } = await newTerminal();
    const data = Buffer.from('x');
    const ask = (request: Request) => refusalOf(answersTo(terminals, [{ data, ...request }]));
    const numbered = { terminalId, writerId, sequence: 1n };
    expect(await ask({ ...numbered, terminalId: newId('trm') })).toEqual([
      ...['NotFound', 'NOT_FOUND', 'terminalId'],
    ]);
    expect(await ask({ ...numbered, sequence: 0n })).toEqual([
      ...['InvalidArgument', 'INVALID_ARGUMENT', 'sequence'],
    ]);
    expect(await ask({ ...numbered, writerId: '' })).toEqual([
      ...['InvalidArgument', 'INVALID_ARGUMENT', 'writerId'],
    ]);
    expect(await ask({ ...numbered, writerId: newId('wrt') })).toEqual([
      ...['FailedPrecondition', 'WRITER_EXPIRED', 'writerId'],
    ]);
    expect(await ask({ ...numbered, sequence: 1_000n })).toEqual([
      ...['InvalidArgument', 'INVALID_ARGUMENT', 'sequence'],
    ]);
    expect(await ask({ ...numbered, data: new Uint8Array(65_537) })).toEqual([
      ...['InvalidArgument', 'INVALID_ARGUMENT', 'data'],
    ]);
  });

  it('is not for those who may only look, nor for the writer of another', async () => {
    const { terminalId, writerId } = await newTerminal();
    const { tokens } = gatewayClients(gateway);
    for (const [scopes, expected] of [
      [['terminal:read'], ['PermissionDenied', 'PERMISSION_DENIED', '']],
      [['terminal:write'], ['FailedPrecondition', 'WRITER_EXPIRED', 'writerId']],
    ] as const) {
      const { token: other } = await tokens.createSessionToken({ sandboxId, scopes: [...scopes] });
      const transport = createSandboxTransport({ url, token: other, transport: 'websocket' });
      const client = createClient(TerminalService, transport);
      const input = { terminalId, writerId, sequence: 1n, data: Buffer.from('x') };
      expect(await refusalOf(answersTo(client, [input]))).toEqual(expected);
      transport.close();
    }
  });

  it('is refused over HTTP, in every protocol, with what to use instead', async () => {
    const interceptors = [bearer(token)];
    const common = { baseUrl: url, interceptors };
    const http2 = createConnectTransport({ ...common, httpVersion: '2' });
    for (const transport of [http2, createGrpcTransport(common)]) {
      const client = createClient(TerminalService, transport);
      const refused = answersTo(client, [{ sequence: 1n }]);
      await expect(refused).rejects.toThrow(/StreamTerminalInput is served on WebSockets only/);
      expect((await refusalOf(refused))[0]).toBe('FailedPrecondition');
    }
    const answer = await fetch(`${url}/computesdk.v1.TerminalService/StreamTerminalInput`, {
      method: 'POST',
      headers: {
        ...{ authorization: `Bearer ${token}`, 'content-type': 'application/connect+json' },
      },
      body: Buffer.concat([Buffer.from([0, 0, 0, 0, 2]), Buffer.from('{}')]),
    });
    expect(await answer.text()).toContain('failed_precondition');
  });

  it('ends when its token is revoked', async () => {
    const { tokens } = gatewayClients(gateway);
    const { token: other, sessionToken } = await tokens.createSessionToken({ sandboxId });
    const transport = createSandboxTransport({ url, token: other, transport: 'websocket' });
    const client = createClient(TerminalService, transport);
    // Waits for the input before it, which never comes.
    const input = { ...(await newTerminal(client)), sequence: 2n, data: Buffer.from('x') };
    const ended = refusalOf(answersTo(client, [input]));
    await client.listTerminals({});
    await tokens.revokeSessionToken({ sandboxId, sessionTokenId: sessionToken?.id ?? '' });
    expect((await ended).slice(0, 2)).toEqual(['Unauthenticated', 'REVOKED']);
    transport.close();
  });
});
