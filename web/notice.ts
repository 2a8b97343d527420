import { element } from './elements.ts';

/** Tells what went wrong, until it is dismissed. */
export class Notice {
  readonly #box = element('notice');
  readonly #text = element('notice-text');

  constructor(onDismiss: () => void) {
    element('dismiss').addEventListener('click', () => {
      this.hide();
      onDismiss();
    });
  }

  show(text: string): void {
    this.#text.textContent = text;
    this.#box.classList.remove('unseen');
  }

  hide(): void {
    this.#text.textContent = '';
    this.#box.classList.add('unseen');
  }
}
