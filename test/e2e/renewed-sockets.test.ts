import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AttachTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { AccessStage, asBearer, FLOOD, type IssuedToken, QUIET } from '../support/access-stage.ts';
import { FrameClient, type FramedAnswer } from '../support/frame-client.ts';
import { TestGateway } from '../support/gateway.ts';
import { postJson } from '../support/raw-http.ts';
import { scaled } from '../support/scale.ts';
import { delay, until, within } from '../support/until.ts';

const ROUNDS = scaled(50);
/** How long a client does not read: longer than any may need for the end of its access. */
const STALL_MS = 1_000;

let gateway: TestGateway;
let stage: AccessStage;

beforeAll(async () => {
  gateway = await TestGateway.start({ env: { COMPUTESDK_LOG_LEVEL: 'warn' } });
  stage = await AccessStage.open(gateway);
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

it('a WebSocket lives on with a renewed credential, and what the old one opened ends with that', async () => {
  const terminalId = await stage.terminal(QUIET);
  for (let round = 0; round < ROUNDS; round++) {
    const { client, old, renewed, before, after } = await renewedSocket(terminalId);
    await stage.revoke(old);
    await within(before.ended, { what: 'the end of the old stream' });
    expect(before.reason).toBe('REVOKED');
    const call = client.call('AuthService/WhoAmI', new Uint8Array());
    await within(call.ended, { what: 'an answer' });
    expect([call.result?.code, client.isOver, after.result]).toEqual(['ok', false, undefined]);

    await stage.revoke(renewed);
    await within(after.ended, { what: 'the end of the new stream' });
    expect([after.reason, client.isOver]).toEqual(['REVOKED', true]);
    client.close();
  }
});

it('a WebSocket that does not read is cut when the credential of one of its streams ends', async () => {
  const terminalId = await stage.terminal(FLOOD);
  await stage.flood();
  for (let round = 0; round < ROUNDS / 5; round++) {
    const { client, old, before, after } = await renewedSocket(terminalId);
    client.stall();
    await stage.revoke(old);
    await delay(STALL_MS);
    const seen = before.messages;
    client.go();
    await within(after.ended, { what: 'the end of the connection' });
    expect([after.result?.code, after.reason]).toEqual(['cut', undefined]);
    expect(before.messages - seen).toBe(0);
    client.close();
  }
});

type RenewedSocket = {
  readonly client: FrameClient;
  readonly old: IssuedToken;
  readonly renewed: IssuedToken;
  /** Streams that were opened with the old token and with the new one. */
  readonly before: FramedAnswer;
  readonly after: FramedAnswer;
};

async function renewedSocket(terminalId: string): Promise<RenewedSocket> {
  const [old, renewed] = [await stage.token(), await stage.token()];
  const client = new FrameClient({ url: stage.url, headers: asBearer(old) });
  const before = await attached(client, terminalId);
  const refresh = `${stage.url}/computesdk.v1.AuthService/RefreshCredential`;
  const answer = await postJson(refresh, { previousToken: old.text }, asBearer(renewed));
  expect(answer.status).toBe(200);
  client.renew(`Bearer ${renewed.text}`);
  const after = await attached(client, terminalId);
  return { client, old, renewed, before, after };
}

async function attached(client: FrameClient, terminalId: string): Promise<FramedAnswer> {
  const message = create(AttachTerminalRequestSchema, { terminalId });
  const bytes = toBinary(AttachTerminalRequestSchema, message);
  const answer = client.call('TerminalService/AttachTerminal', bytes);
  await until(() => answer.messages > 0, { what: 'the first message' });
  return answer;
}
