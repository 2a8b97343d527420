import type { Clock, Timer } from './clock.ts';

/** Runs `task` again and again, with `ms` between one end and the next start. The task catches everything itself. */
export function every(clock: Clock, ms: number, task: () => Promise<void>): Timer {
  let isCleared = false;
  let timer: Timer | undefined;
  const arm = () => {
    if (!isCleared) timer = clock.setTimer(() => void task().finally(arm), ms);
  };
  arm();
  return {
    clear: () => {
      isCleared = true;
      timer?.clear();
    },
  };
}
