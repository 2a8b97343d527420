import type { Socket } from 'node:net';
import { CONNECTION_STREAM, decodeFrame } from '../../../frames/frame.ts';
import type { Hello } from '../../../gen/computesdk/v1/frame_pb.ts';
import type { Clock } from '../../core/clock.ts';
import { DomainError, invalidArgument } from '../../core/domain-error.ts';
import type { WebSocket } from './web-socket.ts';

/** How long a client may take to say who it is, in milliseconds. */
export const HELLO_MS = 5_000;
/** What it may send until then, in bytes. */
export const MAX_HELLO_BYTES = 16 * 1024;

/**
 * Waits for a client to say who it is, which is the first that it sends. What follows is for the
 * listeners that `onHello` adds.
 */
export function awaitHello(
  connection: { readonly webSocket: WebSocket; readonly socket: Socket; readonly clock: Clock },
  onHello: (hello: Hello) => void,
  onRefused: (cause: DomainError) => void,
): void {
  const { webSocket, socket, clock } = connection;
  let isOver = false;
  let bytes = 0;
  const finish = (settle: () => void) => {
    if (isOver) return;
    isOver = true;
    timer.clear();
    socket.off('data', count);
    settle();
  };
  const count = (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > MAX_HELLO_BYTES) finish(() => onRefused(tooLarge()));
  };
  const timer = clock.setTimer(
    () => finish(() => onRefused(invalidArgument('hello', `must come within ${HELLO_MS} ms`))),
    HELLO_MS,
  );
  webSocket.once('message', (data, isBinary) =>
    finish(() => {
      const hello = isBinary && Buffer.isBuffer(data) ? readHello(data) : undefined;
      if (hello instanceof DomainError) onRefused(hello);
      else if (hello) onHello(hello);
      else onRefused(invalidArgument('hello', 'must be the first frame'));
    }),
  );
  webSocket.once('close', () => finish(() => {}));
  socket.on('data', count);
}

function readHello(data: Buffer): Hello | DomainError | undefined {
  if (data.length > MAX_HELLO_BYTES) return tooLarge();
  try {
    const { stream, body } = decodeFrame(data);
    return stream === CONNECTION_STREAM && body.case === 'hello' ? body.value : undefined;
  } catch {
    return undefined;
  }
}

function tooLarge(): DomainError {
  return invalidArgument('hello', `must be at most ${MAX_HELLO_BYTES} bytes`);
}
