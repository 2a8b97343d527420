import { create, toBinary } from '@bufbuild/protobuf';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { AttachTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import {
  AccessStage,
  asBearer,
  FLOOD,
  type IssuedToken,
  QUIET,
  quantile,
} from '../support/access-stage.ts';
import { FrameClient, type FramedAnswer } from '../support/frame-client.ts';
import { TestGateway } from '../support/gateway.ts';
import { postJson } from '../support/raw-http.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { queuesOf } from '../support/stalled-readers.ts';
import { timeBound } from '../support/time-bound.ts';
import { until, within } from '../support/until.ts';

const ROUNDS = scaled(50);
const STALLS = Math.max(5, scaled(20));
/** How long the system may go on sending what nobody reads. A connection that only closes may take longer. */
const MAX_CUT_MS = 600;

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

it.each(['its own credential', 'the old one, which opened one of its streams'])(
  'a WebSocket that does not read is soon cut by the end of %s',
  async (which) => {
    const terminalId = await stage.terminal(FLOOD);
    await stage.flood();
    const times: number[] = [];
    for (let round = 0; round < STALLS; round++) {
      const { client, old, renewed, after } = await renewedSocket(terminalId);
      client.stall();
      const revokedAt = await stage.revoke(which === 'its own credential' ? renewed : old);
      await until(() => !queuesOf(gateway.port).has(client.localPort), { what: 'a reset' });
      times.push(performance.now() - revokedAt);
      client.go();
      await within(after.ended, { what: 'the end of the connection' });
      client.close();
    }
    const p50 = quantile(times, 0.5);
    report({ test: `stalled WebSocket, end of ${which}`, count: STALLS, figures: { p50 } });
    expect(p50).toBeLessThan(await timeBound(MAX_CUT_MS));
    await stage.destroyTerminal(terminalId);
  },
);

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
