import { createServer, type IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { decodeFrame, encodeFrame, type FrameBody } from '../../../../frames/frame.ts';
import type { Frame } from '../../../../gen/computesdk/v1/frame_pb.ts';
import { FRAME_LINK_PROTOCOL } from '../../../../server/rpc/frame-link.ts';
import { FrameSplitter, withLength } from '../../../../server/rpc/frame-splitter.ts';
import { type FakeAgent, listenOnSocket } from '../proxy/fixture.ts';

const MAX_FRAME_BYTES = 2 * 1024 * 1024;

/** An agent that does with the frames of the gateway what a test wants. */
export type FakeLinkAgent = FakeAgent & {
  /** Every byte that came over links, and the heads of their requests. */
  readonly seen: Buffer[];
  readonly links: FakeLink[];
};

/** One link, as the agent sees it. */
export class FakeLink {
  readonly socket: Duplex;

  constructor(socket: Duplex) {
    this.socket = socket;
  }

  send(stream: number, body: FrameBody): void {
    this.sendBytes(encodeFrame(stream, body));
  }

  /** Sends what is perhaps no frame. */
  sendBytes(bytes: Uint8Array): void {
    this.socket.write(withLength([bytes], bytes.length));
  }
}

export async function startLinkAgent(
  onFrame: (frame: Frame, link: FakeLink) => void,
): Promise<FakeLinkAgent> {
  const seen: Buffer[] = [];
  const links: FakeLink[] = [];
  const server = createServer();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    seen.push(Buffer.from(`${request.url}\n${request.rawHeaders.join('\n')}`));
    socket.on('error', () => {});
    socket.on('end', () => socket.destroy());
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${FRAME_LINK_PROTOCOL}\r\n\r\n`,
    );
    const link = new FakeLink(socket);
    links.push(link);
    const splitter = new FrameSplitter(MAX_FRAME_BYTES);
    socket.on('data', (chunk: Buffer) => {
      seen.push(chunk);
      for (const bytes of splitter.push(chunk)) onFrame(decodeFrame(bytes), link);
    });
  });
  const agent = await listenOnSocket(server);
  return { ...agent, seen, links };
}
