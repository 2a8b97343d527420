/** A piece of output that is being delivered. */
export interface HeldPiece {
  /** Keeps the piece unfinished until the returned function is called. */
  hold(): () => void;
}

type Piece = { readonly end: number; holds: number };

/** Knows how far output was finished with, in order, when listeners may take their time. */
export class HeldOutput {
  readonly #onFinished: (cursor: number) => void;
  /** What is not finished, in the order of delivery. The server's window bounds it. */
  readonly #pieces: Piece[] = [];

  constructor(onFinished: (cursor: number) => void) {
    this.#onFinished = onFinished;
  }

  /** Delivers a piece that ends before `end`. It is finished when `deliver` has returned and nobody holds it. */
  deliver(end: number, deliver: (piece: HeldPiece) => void): void {
    const piece: Piece = { end, holds: 0 };
    this.#pieces.push(piece);
    const release = this.#hold(piece);
    deliver({ hold: () => this.#hold(piece) });
    release();
  }

  #hold(piece: Piece): () => void {
    piece.holds += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      piece.holds -= 1;
      this.#finish();
    };
  }

  #finish(): void {
    for (let first = this.#pieces[0]; first?.holds === 0; first = this.#pieces[0]) {
      this.#pieces.shift();
      this.#onFinished(first.end);
    }
  }
}
