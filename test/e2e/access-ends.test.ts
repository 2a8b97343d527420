import { afterAll, beforeAll, expect, it } from 'vitest';
import {
  AccessStage,
  asBearer,
  type IssuedToken,
  QUIET,
  quantile,
} from '../support/access-stage.ts';
import { TestGateway } from '../support/gateway.ts';
import { LIVE_PROTOCOLS, LiveStream } from '../support/live-stream.ts';
import { postJson } from '../support/raw-http.ts';
import { report } from '../support/report.ts';
import { isSoak, scaled } from '../support/scale.ts';
import { within } from '../support/until.ts';

const TOKENS = scaled(60);
/** How long tokens live that are meant to expire, in seconds. */
const SHORT_S = 3;
/** How much later than a timer of this process a stream may end. */
const MAX_LATE_MS = isSoak ? 100 : 500;

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await TestGateway.start();
}, 60_000);
afterAll(() => gateway.stop(), 60_000);

it('a token that expires ends its streams, with the reason, when it does', async () => {
  const stage = await AccessStage.open(gateway);
  const terminalId = await stage.terminal(QUIET);
  const late: number[] = [];
  const control: number[] = [];
  const early: number[] = [];
  await Promise.all(
    Array.from({ length: TOKENS }, async () => {
      const token = await stage.token(SHORT_S);
      const headers = asBearer(token);
      const open = LIVE_PROTOCOLS.map((protocol) =>
        LiveStream.open({ url: stage.url, headers, terminalId, protocol }),
      );
      const streams = await Promise.all(open);
      // The token ends by the clock on the wall, which both processes share.
      const endsAt = performance.now() + token.expiresAt - Date.now();
      const timer = new Promise<number>((resolve) => {
        setTimeout(() => resolve(performance.now() - endsAt), token.expiresAt - Date.now());
      });
      for (const stream of streams) {
        await within(stream.ended, { what: 'the end', withinMs: SHORT_S * 1_000 + 5_000 });
        const { protocol, outcome, reason } = stream;
        expect({ protocol, outcome, reason }).toEqual({
          protocol,
          outcome: 'end',
          reason: 'EXPIRED',
        });
        late.push(stream.lastByteAt - endsAt);
        if (stream.lastByteAt < endsAt - 2) early.push(stream.lastByteAt - endsAt);
        stream.close();
      }
      control.push(await timer);
      const call = await postJson(`${stage.url}/computesdk.v1.AuthService/WhoAmI`, {}, headers);
      expect(call.status).toBe(401);
    }),
  );
  const figures = { p99: quantile(late, 0.99), controlP99: quantile(control, 0.99) };
  report({ test: 'streams of expired tokens', count: late.length, figures });
  expect(early).toEqual([]);
  expect(figures.p99 - figures.controlP99).toBeLessThan(MAX_LATE_MS);
  await stage.destroy();
});

it('a sandbox that is destroyed ends its streams with the reason', async () => {
  for (let round = 0; round < scaled(20); round++) {
    const stage = await AccessStage.open(gateway);
    const terminalId = await stage.terminal(QUIET);
    const headers = asBearer(await stage.token());
    const streams: LiveStream[] = [];
    for (const protocol of LIVE_PROTOCOLS) {
      streams.push(await LiveStream.open({ url: stage.url, headers, terminalId, protocol }));
    }
    await stage.destroy();
    for (const stream of streams) {
      await within(stream.ended, { what: 'the end of the stream' });
      const { protocol, outcome, reason } = stream;
      expect({ protocol, outcome, reason }).toEqual({
        protocol,
        outcome: 'end',
        reason: 'DESTROYED',
      });
      stream.close();
    }
  }
});

it('a renewed token keeps its own streams when the old one is revoked', async () => {
  const stage = await AccessStage.open(gateway);
  const terminalId = await stage.terminal(QUIET);
  const [old, renewed] = [await stage.token(), await stage.token()];
  const refresh = `${stage.url}/computesdk.v1.AuthService/RefreshCredential`;
  const answer = await postJson(refresh, { previousToken: old.text }, asBearer(renewed));
  expect(answer.status).toBe(200);
  const open = (token: IssuedToken) =>
    Promise.all(
      LIVE_PROTOCOLS.map((protocol) =>
        LiveStream.open({ url: stage.url, headers: asBearer(token), terminalId, protocol }),
      ),
    );
  const [before, after] = [await open(old), await open(renewed)];
  await stage.revoke(old);
  await Promise.all(before.map(({ ended }) => within(ended, { what: 'the end of a stream' })));
  expect(before.map(({ reason }) => reason)).toEqual(before.map(() => 'REVOKED'));
  const alive = await postJson(
    `${stage.url}/computesdk.v1.AuthService/WhoAmI`,
    {},
    asBearer(renewed),
  );
  expect([alive.status, after.map(({ outcome }) => outcome)]).toEqual([
    200,
    after.map(() => undefined),
  ]);
  await stage.revoke(renewed);
  await Promise.all(after.map(({ ended }) => within(ended, { what: 'the end of a stream' })));
  expect(after.map(({ reason }) => reason)).toEqual(after.map(() => 'REVOKED'));
  for (const stream of [...before, ...after]) stream.close();
  await stage.destroy();
});
