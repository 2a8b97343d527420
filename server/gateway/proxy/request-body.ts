import { DomainError } from '../../core/domain-error.ts';
import { type HttpRequest, MAX_MESSAGE_BYTES } from '../../rpc/connect-node.ts';

/** One message and the header of its envelope. */
const MAX_BODY_BYTES = MAX_MESSAGE_BYTES + 5;

/** A body above this is large. A smaller one costs no more than the headers that came with it may. */
export const LARGE_BODY_BYTES = 16 * 1024;

/**
 * Reads a request's body. Throws TOO_LARGE above one message, and LOST when the client leaves before
 * the end; nobody reads that one. Calls `onLarge` once when more than {@link LARGE_BODY_BYTES} are
 * there, and rejects with what it throws.
 */
export function readBody(request: HttpRequest, onLarge: () => void): Promise<Buffer> {
  const announced = Number(request.headers['content-length'] ?? 0);
  if (announced > MAX_BODY_BYTES) return Promise.reject(tooLarge());
  if (request.destroyed && !request.readableEnded) return Promise.reject(clientLeft());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const refuse = (cause: unknown) => {
      request.off('data', onData);
      // What was read is let go. The rest is read and dropped, so that the client gets to see the answer.
      chunks.length = 0;
      request.resume();
      reject(cause);
    };
    const onData = (chunk: Buffer) => {
      const isLarge = size <= LARGE_BODY_BYTES && size + chunk.length > LARGE_BODY_BYTES;
      size += chunk.length;
      if (size > MAX_BODY_BYTES) {
        refuse(tooLarge());
        return;
      }
      chunks.push(chunk);
      try {
        if (isLarge) onLarge();
      } catch (error) {
        refuse(error);
      }
    };
    request.on('data', onData);
    request.once('end', () => resolve(joined(chunks)));
    request.once('close', () => {
      if (!request.readableEnded) reject(clientLeft());
    });
  });
}

function joined(chunks: readonly Buffer[]): Buffer {
  const [first] = chunks;
  return chunks.length === 1 && first ? first : Buffer.concat(chunks);
}

function tooLarge(): DomainError {
  return new DomainError(
    'TOO_LARGE',
    `the request is larger than a message may be (${MAX_MESSAGE_BYTES} bytes)`,
  );
}

function clientLeft(): DomainError {
  return new DomainError('LOST', 'the client left');
}
