import type { Socket } from 'node:net';

/** What every HTTP/2 connection begins with (RFC 9113, section 3.4). */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1');

/**
 * Reads the first bytes of a connection, puts them back, and tells whether they are HTTP/2's. Closes
 * a connection that does not say within `timeoutMs`.
 */
export function sniffHttp2(
  socket: Socket,
  timeoutMs: number,
  found: (isHttp2: boolean) => void,
): void {
  let seen: Buffer = Buffer.alloc(0);
  const timer = setTimeout(() => socket.destroy(), timeoutMs);
  const stop = () => {
    clearTimeout(timer);
    socket.off('readable', look);
    socket.off('error', ignore);
    socket.off('close', stop);
  };
  const look = () => {
    const chunk: Buffer | null = socket.read();
    // At the end of a connection there is nothing to read and nobody to answer.
    if (chunk === null) {
      if (socket.readableEnded) socket.destroy();
      return;
    }
    seen = seen.length === 0 ? chunk : Buffer.concat([seen, chunk]);
    const begins = seen.subarray(0, PREFACE.length).equals(PREFACE.subarray(0, seen.length));
    if (begins && seen.length < PREFACE.length) return;
    stop();
    socket.unshift(seen);
    found(begins);
  };
  socket.on('readable', look);
  socket.on('error', ignore);
  socket.on('close', stop);
}

function ignore(): void {}
