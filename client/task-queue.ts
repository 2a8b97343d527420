/** Runs tasks one after the other, each in a later turn of the loop than the call that added it. */
export class TaskQueue {
  readonly #tasks: (() => void | Promise<void>)[] = [];
  #isRunning = false;

  /** How many wait. */
  get length(): number {
    return this.#tasks.length;
  }

  /** Adds a task, which must not throw. */
  push(task: () => void | Promise<void>): void {
    this.#tasks.push(task);
    if (!this.#isRunning) void this.#run();
  }

  /** Drops what waits. */
  clear(): void {
    this.#tasks.length = 0;
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    await Promise.resolve();
    for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) await task();
    this.#isRunning = false;
  }
}
