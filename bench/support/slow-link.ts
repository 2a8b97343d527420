// Run as a process of its own: a link that is slow, as a TCP proxy on loopback. Prints its port. The
// arguments are the port that it leads to, and the bytes a second that pass in each direction.
import { type AddressInfo, createServer, connect as dial, type Socket } from 'node:net';

/** What is read at a time: the link itself must hold little, as a short cable does. */
const PIECE_BYTES = 16 * 1024;

const [port = '', rate = ''] = process.argv.slice(2);

/** One direction of the link, shared by all connections, as a cable is. */
class Lane {
  /** When everything that was let in has passed. */
  #freeAt = 0;

  async carry(from: Socket, to: Socket): Promise<void> {
    try {
      for await (const chunk of from.iterator({ destroyOnReturn: false })) {
        await this.#pass(chunk.length);
        if (!to.write(chunk)) await new Promise((resolve) => to.once('drain', resolve));
      }
      to.end();
    } catch {
      to.destroy();
    }
  }

  async #pass(bytes: number): Promise<void> {
    const now = performance.now();
    this.#freeAt = Math.max(this.#freeAt, now) + (bytes / Number(rate)) * 1_000;
    // A timer has whole milliseconds; what is less is made up for by the next piece.
    const waitMs = this.#freeAt - now;
    if (waitMs >= 1) await new Promise((resolve) => setTimeout(resolve, waitMs));
  }
}

const [down, up] = [new Lane(), new Lane()];
const server = createServer({ noDelay: true, highWaterMark: PIECE_BYTES }, (client) => {
  const target = dial({ port: Number(port), host: '127.0.0.1', noDelay: true });
  for (const [socket, other] of [
    [client, target],
    [target, client],
  ] as const) {
    socket.on('error', () => other.destroy());
    socket.on('close', () => other.destroy());
  }
  void up.carry(client, target);
  void down.carry(target, client);
});
server.listen(0, '127.0.0.1', () => {
  // A listening TCP server's address is an object.
  console.log((server.address() as AddressInfo).port);
});
