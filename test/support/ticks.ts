/** A program for /bin/sh that counts from 1 on, ten lines a second. */
export const TICKS = 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done';

/** Collects the ticks of a program and what else a client told. */
export class TickLog {
  readonly ticks: number[] = [];
  readonly states: string[] = [];
  /** Gaps and errors. */
  readonly problems: string[] = [];
  #lastAt = 0;

  /** When the last tick came, on the monotonic clock. */
  get lastAt(): number {
    return this.#lastAt;
  }

  /** Whether the ticks came once each, in order. */
  get isComplete(): boolean {
    return this.ticks.every((tick, index) => tick === index + 1);
  }

  take(event: { readonly tick?: number; readonly state?: string }): void {
    if (event.tick !== undefined) {
      this.ticks.push(event.tick);
      this.#lastAt = performance.now();
    } else if (event.state !== undefined) this.states.push(event.state);
    else this.problems.push(JSON.stringify(event));
  }
}
