import { Sandbox } from '../../client/index.ts';

/** How a page gets to a program on a pseudo terminal. */
export type Way =
  | { readonly name: string; readonly bareUrl: string }
  | {
      readonly name: string;
      readonly url: string;
      readonly token: string;
      readonly transport: 'websocket' | 'http';
      readonly command: string;
    };

type Program = {
  onData: (bytes: Uint8Array) => void;
  write(data: string): void;
  close(): void;
};

declare global {
  /** What the page can do for the benchmark. */
  var bench: {
    sit(way: Way): Promise<void>;
    keys(options: { name: string; count: number; paceMs: number }): Promise<number[]>;
    rate(way: Way): Promise<number>;
    leave(): void;
  };
}

const seats = new Map<string, Program>();
const sandboxes = new Map<string, Promise<Sandbox>>();

globalThis.bench = {
  /** Starts a program that echoes. */
  sit: async (way) => {
    seats.set(way.name, await run(way));
  },
  /** Types keys, one after another. Returns the milliseconds that each took. */
  keys: async ({ name, count, paceMs }) => {
    const program = seats.get(name);
    if (!program) throw new Error(`nobody sits at ${name}`);
    const taken: number[] = [];
    for (let index = 0; index < count; index++) {
      if (paceMs > 0) await new Promise((resolve) => setTimeout(resolve, paceMs));
      taken.push(await key(program));
    }
    return taken;
  },
  /** Megabytes a second of a program that prints when it gets a line. */
  rate: async (way) => {
    const program = await run(way);
    const done = seen(program, '~done~');
    const startedAt = performance.now();
    program.write('\n');
    const bytes = await done;
    const megabytesPerMs = bytes / 1_000_000 / (performance.now() - startedAt);
    program.close();
    return megabytesPerMs * 1_000;
  },
  leave: () => {
    for (const program of seats.values()) program.close();
    seats.clear();
  },
};

function key(program: Program): Promise<number> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    program.onData = () => resolve(performance.now() - startedAt);
    program.write('x');
  });
}

async function run(way: Way): Promise<Program> {
  const program = 'bareUrl' in way ? await overBareSocket(way.bareUrl) : await overSdk(way);
  await seen(program, '~ready~');
  return program;
}

async function overBareSocket(url: string): Promise<Program> {
  const socket = new WebSocket(url);
  socket.binaryType = 'arraybuffer';
  const program = newProgram(
    (data) => socket.send(data),
    () => socket.close(),
  );
  socket.onmessage = ({ data }) => program.onData(new Uint8Array(data));
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  return program;
}

/** A program whose output is held until somebody takes it: it may come before anybody can. */
function newProgram(write: Program['write'], close: Program['close']): Program {
  const held: Uint8Array[] = [];
  let listener = (bytes: Uint8Array): void => void held.push(bytes);
  return {
    write,
    close,
    get onData() {
      return listener;
    },
    set onData(next) {
      listener = next;
      for (const bytes of held.splice(0)) next(bytes);
    },
  };
}

async function overSdk(way: Exclude<Way, { readonly bareUrl: string }>): Promise<Program> {
  const connected = sandboxes.get(way.name) ?? Sandbox.connect(way);
  sandboxes.set(way.name, connected);
  const { terminal: terminals } = await connected;
  const terminal = await terminals.create({ shell: '/bin/sh', args: ['-c', way.command] });
  const program = newProgram(
    (data) => void terminal.write(data),
    () => void terminal.destroy(),
  );
  terminal.on('data', (bytes) => program.onData(bytes));
  return program;
}

/** Resolves with the number of bytes up to this text, which must be the last that is printed. */
function seen(program: Program, text: string): Promise<number> {
  return new Promise((resolve) => {
    let [bytes, tail] = [0, ''];
    program.onData = (data) => {
      bytes += data.length;
      tail = (tail + String.fromCharCode(...data.subarray(-text.length))).slice(-text.length);
      if (tail === text) resolve(bytes);
    };
  });
}
