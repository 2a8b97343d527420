import { createHash } from 'node:crypto';

/** Length of one block of known output. */
const BLOCK_BYTES = 65_536;
const COUNTER_BYTES = 4;

/**
 * Output whose every byte is known from its position: seeded bytes of all 256 values, in blocks
 * that each begin with their number and are turned by it, so that a block that is missing, repeated
 * or moved changes the whole. A Perl program prints the same in a box.
 */
export class KnownOutput {
  readonly #seed: number;
  readonly #base: Buffer;

  constructor(seed: number) {
    this.#seed = seed & 0x7fffffff;
    this.#base = Buffer.alloc(BLOCK_BYTES);
    let state = this.#seed;
    for (let at = 0; at < BLOCK_BYTES; at++) {
      state = Number((BigInt(state) * 1_103_515_245n + 12_345n) & 0x7fffffffn);
      this.#base[at] = (state >> 16) & 255;
    }
  }

  /** The bytes from one position up to another. */
  slice(from: number, to: number): Buffer {
    const first = Math.floor(from / BLOCK_BYTES);
    const blocks: Buffer[] = [];
    for (let index = first; index * BLOCK_BYTES < to; index++) blocks.push(this.#block(index));
    return Buffer.concat(blocks).subarray(from - first * BLOCK_BYTES, to - first * BLOCK_BYTES);
  }

  /** SHA-256 of the first `length` bytes, in hex. */
  sha256(length: number): string {
    const hash = createHash('sha256');
    for (let from = 0; from < length; from += BLOCK_BYTES) {
      hash.update(this.#block(from / BLOCK_BYTES).subarray(0, length - from));
    }
    return hash.digest('hex');
  }

  /** The program that prints `length` bytes, as arguments of /bin/sh, without a shell's own output. */
  program(length: number, options: { readonly before?: string } = {}): string[] {
    const perl = `
      my ($state, $length, $base) = (${this.#seed}, ${length}, "");
      for (1..${BLOCK_BYTES}) {
        $state = ($state * 1103515245 + 12345) & 0x7fffffff;
        $base .= chr(($state >> 16) & 255);
      }
      my $twice = $base . $base;
      binmode STDOUT;
      for (my ($i, $done) = (0, 0); $done < $length; $i++) {
        my $block = pack("N", $i) . substr($twice, ($i * 31337) % ${BLOCK_BYTES}, ${BLOCK_BYTES - COUNTER_BYTES});
        $block = substr($block, 0, $length - $done) if $length - $done < ${BLOCK_BYTES};
        $done += length $block;
        for (my $at = 0; $at < length $block;) {
          my $written = syswrite(STDOUT, $block, length($block) - $at, $at);
          die "write: $!" unless defined $written;
          $at += $written;
        }
      }`;
    return ['-c', `stty raw -echo 2>/dev/null; ${options.before ?? ''} exec perl -e "$0"`, perl];
  }

  #block(index: number): Buffer {
    const block = Buffer.alloc(BLOCK_BYTES);
    block.writeUInt32BE(index, 0);
    const start = (index * 31_337) % BLOCK_BYTES;
    const head = this.#base.copy(block, COUNTER_BYTES, start);
    if (head < BLOCK_BYTES - COUNTER_BYTES) this.#base.copy(block, COUNTER_BYTES + head, 0);
    return block;
  }
}
