import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { PROGRAM_NAME } from '../agent/code-cache.ts';
import { untilAborted } from '../core/abort.ts';
import type { AgentProgram } from './agent-program.ts';
import type { Box, BoxReference, BoxSpec, Egress } from './driver.ts';

export type ProbeOptions = {
  /** The program to run is put in the place of the agent; the node binary stays. */
  readonly program: AgentProgram;
  readonly egress: Egress;
  readonly uid?: number;
  readonly start: (spec: BoxSpec, program: AgentProgram, signal: AbortSignal) => Promise<Box>;
  readonly destroy: (box: BoxReference) => Promise<void>;
};

const ANSWER = 'a box that works';
/** Does in a box what an agent needs: writes to the project, takes a connection on the socket it was given. */
const PROBE_PROGRAM = `
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
const config = JSON.parse(process.argv[2]);
writeFileSync(config.projectDirectory + '/probe', '');
createServer((socket) => socket.end(${JSON.stringify(ANSWER)})).listen({ fd: config.listenFd });
setTimeout(() => process.exit(1), config.graceMs);
`;
const PROBE_DEADLINE_MS = 20_000;

/** Makes a box for real, in a temporary directory, and ends it. Throws an Error with what was printed when it does not answer. */
export async function probeBox(options: ProbeOptions, signal: AbortSignal): Promise<void> {
  const deadline = new AbortController();
  // A box does not keep this process alive; this timer does, until the verdict is there.
  const timer = setTimeout(
    () => deadline.abort(new Error('the box did not answer')),
    PROBE_DEADLINE_MS,
  );
  const limit = AbortSignal.any([signal, deadline.signal]);
  const directory = await mkdtemp(join(tmpdir(), 'computesdk-probe-'));
  try {
    const program = await writeProgram(directory, options.program);
    const box = await options.start(probeSpec(directory, options), program, limit);
    try {
      await untilAborted(Promise.race([expectAnswer(box), expectNoExit(box)]), limit);
    } finally {
      await options.destroy({ directory, handle: box.handle });
    }
  } finally {
    clearTimeout(timer);
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeProgram(directory: string, { node }: AgentProgram): Promise<AgentProgram> {
  const folder = join(directory, 'program');
  await mkdir(folder);
  await writeFile(join(folder, PROGRAM_NAME), PROBE_PROGRAM);
  // Whatever the umask is, the box's user must be able to read it.
  await chmod(folder, 0o755);
  await chmod(join(folder, PROGRAM_NAME), 0o644);
  return { node, directory: folder, packages: {} };
}

function probeSpec(directory: string, { egress, uid }: ProbeOptions): BoxSpec {
  return {
    sandboxId: 'probe',
    directory,
    egress,
    ...(uid !== undefined && { uid }),
    agent: {
      sandboxId: 'probe',
      bootId: 'probe',
      previousBootIds: [],
      expiresAt: 0,
      graceMs: PROBE_DEADLINE_MS,
      logLevel: 'info',
    },
  };
}

async function expectAnswer(box: Box): Promise<void> {
  const socket = connect(box.endpoint.socketPath);
  const answer = await text(socket).catch(() => expectNoExit(box));
  if (answer !== ANSWER) await expectNoExit(box);
}

async function expectNoExit(box: Box): Promise<never> {
  const { exitCode, signal, stderr } = await box.exited;
  throw new Error(stderr || `the box ended with ${signal ?? exitCode}`);
}
