import { type IncomingMessage, request } from 'node:http';
import type { TransportKind } from '../../client/connection/sandbox-transport.ts';
import { FrameClient } from './frame-client.ts';
import { envelope } from './raw-call.ts';

export type ViewerLineOptions = {
  readonly sandboxUrl: string;
  readonly token: string;
  readonly transport: TransportKind;
  /** The request to attach. */
  readonly message: Uint8Array;
  readonly onMessage: (message: Uint8Array) => void;
};

/** One attach call over a connection of its own, which stalls and vanishes when told. */
export interface ViewerLine {
  /** The end of the call as its protocol says it, once it came. */
  readonly endOfStream: string;
  /** Resolves when nothing more comes: the stream ended, or the connection broke. */
  readonly closed: Promise<void>;
  /** Takes nothing more from the socket. */
  stall(): void;
  /** Reads again. */
  go(): void;
  /** Breaks the connection with a reset, as a network that is gone does. */
  vanish(): void;
}

const END_STREAM_FLAG = 2;
const METHOD = 'TerminalService/AttachTerminal';

/** Makes the call. Over HTTP it resolves when the server has answered. */
export function openViewerLine(options: ViewerLineOptions): Promise<ViewerLine> {
  return options.transport === 'http' ? openHttp(options) : Promise.resolve(openWebSocket(options));
}

function openWebSocket({ sandboxUrl, token, message, onMessage }: ViewerLineOptions): ViewerLine {
  const headers = { authorization: `Bearer ${token}` };
  const client = new FrameClient({ url: sandboxUrl, headers });
  const answer = client.call(METHOD, message, { onMessage });
  void answer.ended.then(() => client.close());
  return {
    get endOfStream() {
      return answer.result ? `${answer.result.code} ${answer.result.text}` : '';
    },
    closed: answer.ended,
    stall: () => client.stall(),
    go: () => client.go(),
    vanish: () => client.vanish(),
  };
}

async function openHttp(options: ViewerLineOptions): Promise<ViewerLine> {
  const headers = {
    'content-type': 'application/connect+proto',
    'connect-protocol-version': '1',
    authorization: `Bearer ${options.token}`,
  };
  const url = `${options.sandboxUrl}/computesdk.v1.${METHOD}`;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const call = request(url, { method: 'POST', headers, agent: false }, resolve);
    call.on('error', reject);
    call.end(envelope(options.message));
  });
  if (response.statusCode !== 200) throw new Error(`attach answered ${response.statusCode}`);
  const line = {
    endOfStream: '',
    closed: new Promise<void>((resolve) => response.once('close', resolve)),
    stall: () => void response.pause(),
    go: () => void response.resume(),
    vanish: () => void response.socket.resetAndDestroy(),
  };
  let pending = Buffer.alloc(0);
  response.on('error', () => {});
  response.on('data', (bytes: Buffer) => {
    pending = Buffer.concat([pending, bytes]);
    while (pending.length >= 5) {
      const length = pending.readUInt32BE(1);
      if (pending.length < 5 + length) return;
      const data = pending.subarray(5, 5 + length);
      if (pending[0] === END_STREAM_FLAG) line.endOfStream = data.toString();
      else options.onMessage(data);
      pending = pending.subarray(5 + length);
    }
  });
  return line;
}
