import { type ConnectionWords, countdownText } from './connection-words.ts';
import { element } from './elements.ts';

const TICK_MS = 250;

/** Tells about the connection, in a live region that screen readers speak once for each change. */
export class Banner {
  readonly #box = element('banner');
  readonly #text = element('banner-text');
  readonly #countdown = element('countdown');
  readonly #retry = element('retry', HTMLButtonElement);
  #ticking: ReturnType<typeof setInterval> | undefined;

  constructor(onRetry: () => void) {
    this.#retry.addEventListener('click', onRetry);
  }

  /** Shows words in the place of earlier ones; without any the banner goes away. */
  show(words: ConnectionWords | undefined): void {
    clearInterval(this.#ticking);
    const text = words?.text ?? '';
    // The same words again are not spoken again.
    if (this.#text.textContent !== text) this.#text.textContent = text;
    this.#countdown.textContent = '';
    this.#retry.hidden = !words?.mayRetry;
    this.#box.classList.toggle('unseen', !words);
    this.#box.classList.toggle('closed', words?.isClosed ?? false);
    if (words?.inMs !== undefined) this.#countDown(performance.now() + words.inMs);
  }

  #countDown(until: number): void {
    const tick = () => {
      const text = countdownText(until - performance.now());
      if (this.#countdown.textContent !== text) this.#countdown.textContent = text;
    };
    this.#ticking = setInterval(tick, TICK_MS);
    tick();
  }
}
