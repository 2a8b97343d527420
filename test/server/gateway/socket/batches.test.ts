import { afterEach, expect, it } from 'vitest';
import { decodeFrame } from '../../../../frames/frame.ts';
import type { Frame } from '../../../../gen/computesdk/v1/frame_pb.ts';
import { RawSocket } from '../../../support/raw-socket.ts';
import { until } from '../../../support/until.ts';
import { SANDBOX_ID, startGateway, TOKEN } from '../proxy/fixture.ts';
import { type FakeLink, startLinkAgent } from './fake-link.ts';

const ATTACH = '/computesdk.v1.TerminalService/AttachTerminal';

const resources = new AsyncDisposableStack();
afterEach(() => resources.disposeAsync());

const kindsOf = (frames: readonly Frame[]) => frames.map(({ body }) => body.case);

it('frames that come at once leave in a batch for those who accept it', async () => {
  const agent = await startLinkAgent(answerAtOnce);
  resources.defer(() => agent.close());
  const gateway = await startGateway({ socketPath: agent.socketPath });
  resources.defer(() => gateway.close());
  const attached = (acceptsBatches: boolean) => {
    const options = { authorization: `Bearer ${TOKEN}`, acceptsBatches };
    const socket = new RawSocket(`${gateway.url}/sandboxes/${SANDBOX_ID}`, options);
    resources.defer(() => socket.close());
    socket.webSocket.on('open', () => socket.open(1, ATTACH));
    return socket;
  };
  const { value } = await attached(true).frame('batch');
  expect(kindsOf(value.frames.map(decodeFrame))).toEqual(['head', 'message', 'message']);
  const plain = attached(false);
  await until(() => plain.frames.length === 4, { what: 'the frames' });
  expect(kindsOf(plain.frames)).toEqual(['welcome', 'head', 'message', 'message']);
});

function answerAtOnce({ stream, body }: Frame, link: FakeLink): void {
  if (body.case !== 'open') return;
  link.socket.cork();
  link.send(stream, { case: 'head', value: {} });
  for (const byte of [1, 2]) link.send(stream, { case: 'message', value: Uint8Array.of(byte) });
  link.socket.uncork();
}
