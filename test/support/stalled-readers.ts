import { readFileSync } from 'node:fs';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { create, toBinary } from '@bufbuild/protobuf';
import { AttachTerminalRequestSchema } from '../../gen/computesdk/v1/terminal_service_pb.ts';
import { envelope } from './raw-call.ts';
import { delay } from './until.ts';

/** A reader that has begun to listen to a terminal and takes nothing. */
export interface StalledReader {
  /** A number that changes as long as something gets on its way to it. Undefined once it was cut. */
  progress(ports: QueuesByPort): number | undefined;
  close(): void;
}

/** Bytes that wait in a server's connections, by the port of the client. */
export type QueuesByPort = ReadonlyMap<number, number>;

export type Attachment = {
  readonly sandboxUrl: string;
  readonly token: string;
  readonly terminalId: string;
};

const LOOK_MS = 200;

/** Waits until all are cut. Resolves with how long each had taken nothing by then, in milliseconds. */
export async function untilCut(
  readers: readonly StalledReader[],
  options: { readonly serverPort: number; readonly withinMs: number },
): Promise<number[]> {
  const startedAt = performance.now();
  const open = new Map(readers.map((reader) => [reader, { last: -1, at: startedAt }]));
  const times: number[] = [];
  while (open.size > 0) {
    await delay(LOOK_MS);
    const now = performance.now();
    const queues = queuesOf(options.serverPort);
    for (const [reader, seen] of open) {
      const progress = reader.progress(queues);
      if (progress === undefined) {
        times.push(now - seen.at);
        open.delete(reader);
      } else if (progress !== seen.last) {
        open.set(reader, { last: progress, at: now });
      }
    }
    if (now - startedAt > options.withinMs) throw new Error(`${open.size} readers were not cut`);
  }
  return times;
}

/** Attaches over a connection of its own and reads the head of the answer only. */
export async function stallHttp1(attachment: Attachment): Promise<StalledReader> {
  const { url, headers, body } = callOf(attachment);
  let call: ClientRequest | undefined;
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    call = request(url, { method: 'POST', headers, agent: false }, resolve);
    call.on('error', reject);
    call.end(body);
  });
  // Nobody listens to its data, so nothing is read.
  response.on('error', () => {});
  if (response.statusCode !== 200) throw new Error(`attach answered ${response.statusCode}`);
  const port = response.socket.localPort ?? 0;
  // Its own end learns of a cut only once it reads.
  return { progress: (queues) => queues.get(port), close: () => call?.destroy() };
}

/** As {@link stallHttp1}, over HTTP/2: its window stays shut. */
export async function stallHttp2(attachment: Attachment): Promise<StalledReader> {
  const { url, headers, body } = callOf(attachment);
  const session = connectHttp2(url.origin);
  session.on('error', () => {});
  const target = { ':method': 'POST', ':path': url.pathname };
  const stream = session.request({ ...target, ...headers });
  stream.on('error', () => {});
  stream.end(body);
  await new Promise((resolve, reject) => {
    stream.once('response', resolve);
    stream.once('close', () => reject(new Error('closed before its answer')));
  });
  return {
    progress: () => (stream.closed ? undefined : session.socket.bytesRead),
    close: () => session.destroy(),
  };
}

function callOf({ sandboxUrl, token, terminalId }: Attachment) {
  const message = create(AttachTerminalRequestSchema, { terminalId });
  const headers = {
    'content-type': 'application/connect+proto',
    'connect-protocol-version': '1',
    authorization: `Bearer ${token}`,
  };
  const url = new URL(`${sandboxUrl}/computesdk.v1.TerminalService/AttachTerminal`);
  return { url, headers, body: envelope(toBinary(AttachTerminalRequestSchema, message)) };
}

/** What the kernel holds for each established connection of a server. */
export function queuesOf(serverPort: number): QueuesByPort {
  const queues = new Map<number, number>();
  for (const path of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const line of readFileSync(path, 'utf8').split('\n').slice(1)) {
      const [, local = '', remote = '', state, waiting = ''] = line.trim().split(/\s+/);
      if (state !== '01' || portOf(local) !== serverPort) continue;
      queues.set(portOf(remote), Number.parseInt(waiting, 16));
    }
  }
  return queues;
}

function portOf(address: string): number {
  return Number.parseInt(address.split(':')[1] ?? '0', 16);
}
