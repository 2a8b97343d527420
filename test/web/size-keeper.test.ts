import { beforeEach, describe, expect, it } from 'vitest';
import { SandboxError } from '../../client/errors.ts';
import type { TerminalSize } from '../../client/terminal-events.ts';
import { newestRunning } from '../../web/shell.ts';
import { SizeKeeper } from '../../web/size-keeper.ts';

const OURS: TerminalSize = { cols: 100, rows: 30 };
const THEIRS: TerminalSize = { cols: 60, rows: 20 };

let sizes: SizeKeeper;
let sent: TerminalSize[];
let isVisible: boolean;
let fitting: TerminalSize | undefined;
let refusal: SandboxError | undefined;

const screen = {
  size: { cols: 80, rows: 24 },
  fittingSize: () => fitting,
  resize: (size: TerminalSize) => {
    screen.size = size;
  },
  afterOutput: (action: () => void) => action(),
};
const terminal = {
  cols: 80,
  rows: 24,
  resize: async (cols: number, rows: number) => {
    if (refusal) throw refusal;
    sent.push({ cols, rows });
    Object.assign(terminal, { cols, rows });
  },
};

beforeEach(() => {
  sent = [];
  isVisible = true;
  fitting = OURS;
  refusal = undefined;
  screen.size = { cols: 80, rows: 24 };
  Object.assign(terminal, { cols: 80, rows: 24 });
  sizes = new SizeKeeper(screen, () => isVisible);
});

describe('the size', () => {
  it('becomes what fits the page when a terminal comes on the screen', () => {
    sizes.terminal = terminal;
    expect([screen.size, sent]).toEqual([OURS, [OURS]]);
  });

  it('is not sent again while it fits', () => {
    sizes.terminal = terminal;
    sizes.claim();
    sizes.use();
    expect(sent).toHaveLength(1);
  });

  it('is left to others by a page that nobody sees', () => {
    isVisible = false;
    sizes.terminal = terminal;
    sizes.follow(THEIRS);
    sizes.use();
    sizes.claim();
    expect([screen.size, sent]).toEqual([THEIRS, []]);
  });

  it('follows another viewer, until this page is used again', () => {
    sizes.terminal = terminal;
    Object.assign(terminal, THEIRS);
    sizes.follow(THEIRS);
    expect([screen.size, sent]).toEqual([THEIRS, [OURS]]);
    sizes.use();
    expect([screen.size, sent]).toEqual([OURS, [OURS, OURS]]);
  });

  it('is that of others for who may only watch', async () => {
    refusal = new SandboxError('permission_denied', 'no');
    sizes.terminal = terminal;
    await Promise.resolve();
    expect(screen.size).toEqual({ cols: 80, rows: 24 });
    sizes.claim();
    sizes.follow(THEIRS);
    sizes.use();
    expect(screen.size).toEqual(THEIRS);
  });

  it('is claimed again after a failure that passes', async () => {
    refusal = new SandboxError('unreachable', 'no');
    sizes.terminal = terminal;
    await Promise.resolve();
    refusal = undefined;
    sizes.claim();
    expect([screen.size, sent]).toEqual([OURS, [OURS]]);
  });

  it('is nothing while the page has no room for a terminal', () => {
    fitting = undefined;
    sizes.terminal = terminal;
    sizes.claim();
    expect(sent).toEqual([]);
  });
});

describe('a page that comes back', () => {
  it('goes on with the newest running shell that has a pseudo terminal', () => {
    const list = [
      { id: 1, status: 'running', cols: 80 },
      { id: 2, status: 'running', cols: 80 },
      { id: 3, status: 'running', cols: 0 },
      { id: 4, status: 'exited', cols: 80 },
    ] as const;
    expect(newestRunning(list)).toBe(list[1]);
    expect(newestRunning(list.slice(2))).toBeUndefined();
  });
});
