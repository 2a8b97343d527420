import { expect, it } from 'vitest';
import { AccessStage, asBearer, FLOOD } from '../support/access-stage.ts';
import { TestGateway } from '../support/gateway.ts';
import { LIVE_PROTOCOLS, type LiveProtocol, LiveStream } from '../support/live-stream.ts';
import { report } from '../support/report.ts';
import { scaled, seed, seededRandom } from '../support/scale.ts';
import { delay, within } from '../support/until.ts';

/** Cuts of each protocol. */
const CUTS = scaled(100);
/** A message of this size is a large one. */
const LARGE_BYTES = 50_000;
/** How long a client may wait inside of an envelope before it reads on: less and more than its end may take. */
const MAX_WAIT_MS = 250;
/** How long the system may gather what the client does not read, before the token is revoked. */
const MAX_GATHER_MS = 100;
/** Above the window of an HTTP/2 stream and far below what the system holds. */
const MAX_PIECES = 40;

it.each(LIVE_PROTOCOLS)(
  '%s: a cut inside of an envelope is never taken for an end',
  async (protocol) => {
    await using gateway = await TestGateway.start({ env: { COMPUTESDK_LOG_LEVEL: 'warn' } });
    const stage = await AccessStage.open(gateway);
    const terminalId = await stage.terminal(FLOOD);
    await stage.flood();
    const random = seededRandom(seed);
    const counts = { told: 0, brokenInside: 0, brokenBetween: 0, largest: 0 };
    for (let cut = 0; cut < CUTS; cut++) {
      const pieces = 1 + random.below(MAX_PIECES);
      const stream = await cutInside({
        ...{ stage, terminalId, protocol, pieces },
        ...{ gatherMs: random.below(MAX_GATHER_MS), waitMs: random.below(MAX_WAIT_MS) },
      });
      const { outcome, messages, reason, bytesAfterEnd } = stream;
      counts.largest = Math.max(counts.largest, messages.largest);
      if (outcome === 'end') {
        expect({ reason, isInside: messages.isInside, bytesAfterEnd }).toEqual({
          ...{ reason: 'REVOKED', isInside: false, bytesAfterEnd: 0 },
        });
        counts.told += 1;
      } else if (messages.isInside) counts.brokenInside += 1;
      else counts.brokenBetween += 1;
      stream.close();
    }
    report({ test: `cuts inside of an envelope, ${protocol}`, count: CUTS, figures: counts });
    expect(counts.largest).toBeGreaterThan(LARGE_BYTES);
    expect(counts.told).toBeGreaterThan(0);
  },
);

/** Stops reading inside of a large envelope, revokes, reads on and waits for the end. */
async function cutInside(options: {
  readonly stage: AccessStage;
  readonly terminalId: string;
  readonly protocol: LiveProtocol;
  readonly pieces: number;
  readonly gatherMs: number;
  readonly waitMs: number;
}): Promise<LiveStream> {
  const { stage, terminalId, protocol } = options;
  const token = await stage.token();
  const stream = await LiveStream.open({
    ...{ url: stage.url, headers: asBearer(token), terminalId, protocol },
  });
  let seen = 0;
  const inside = new Promise<void>((resolve) => {
    stream.onBytes = () => {
      const { taken, size } = stream.messages.progress;
      seen += 1;
      if (seen < options.pieces || size < LARGE_BYTES || taken === 0 || taken === size) return;
      stream.stall();
      resolve();
    };
  });
  await within(inside, { what: 'the middle of an envelope', withinMs: 20_000 });
  await delay(options.gatherMs);
  // It answers when the client has read its end, or was cut.
  const revoked = stage.revoke(token);
  await delay(options.waitMs);
  stream.onBytes = () => {};
  stream.go();
  await within(stream.ended, { what: 'the end of the stream' });
  await revoked;
  return stream;
}
