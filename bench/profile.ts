// Shows what costs: `node bench/profile.ts <echo|cat> [directory]`. Records gateway, agent and client
// while keys are typed or a file is printed, prints the functions that took most, and keeps the
// recordings in the directory, for the developer tools of a browser.
import { mkdirSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { join } from 'node:path';
import { Figures } from './figures.ts';
import { runUntilReady } from './lines/line.ts';
import { sdkLine } from './lines/sdk-line.ts';
import { FULL } from './scale.ts';
import { Stage } from './stage.ts';
import { ECHO, key } from './suites/echo.ts';
import { floodOf, printing } from './suites/throughput.ts';
import { cpuMicroseconds } from './support/cpu-time.ts';
import { agentDebugger, type Debugger, gatewayDebugger, recordProfile } from './support/memory.ts';
import { median } from './support/statistics.ts';
import { type CpuProfile, topOf } from './support/top-functions.ts';

const DURATION_MS = 4_000;
const UNRECORDED_MS = 1_500;
const FILE_BYTES = 10_000_000;

const [what = 'echo', directory = '.bench'] = process.argv.slice(2);
mkdirSync(directory, { recursive: true });
await using stage = await Stage.open(FULL, new Figures(() => {}));
const { sandbox, access } = await stage.newSandbox();
const line = await sdkLine(access, 'websocket');
const program = await runUntilReady(line, what === 'echo' ? ECHO : printing(floodOf(FILE_BYTES)));
const [agentPid = 0] = stage.gateway.agentPids(sandbox.id);
const gateway = await gatewayDebugger(stage.gateway);
const agent = await agentDebugger(agentPid);
// The compilers do their work first. What is recorded is slower than what is not.
for (let round = 0; round < 3; round++) await work(UNRECORDED_MS);
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.start');
const recorded = Promise.all([record('gateway', gateway), record('agent', agent)]);
await work(DURATION_MS);
const { profile } = await session.post('Profiler.stop');
for (const [name, recording] of await recorded) show(name, recording);
show('client', profile);
await program.close();
await line.close();

async function work(ms: number): Promise<void> {
  const endsAt = performance.now() + ms;
  if (what === 'echo') {
    const taken: number[] = [];
    const before = processorTimes();
    while (performance.now() < endsAt) taken.push(await key(program));
    const each = processorTimes().map(
      (time, index) => (time - (before[index] ?? 0)) / taken.length,
    );
    const [ofGateway, ofAgent, ofClient] = each.map((time) => time.toFixed(0));
    console.log(
      `${taken.length} keys, median ${median(taken).toFixed(3)} ms; processor time of gateway, agent, client: ${ofGateway}, ${ofAgent}, ${ofClient} µs`,
    );
    return;
  }
  let bytes = 0;
  program.onData = (data) => {
    bytes += data.length;
  };
  // It waits for this the first time only.
  program.write('\n');
  await new Promise((resolve) => setTimeout(resolve, ms));
  console.log(`${(bytes / 1_000 / ms).toFixed(1)} MB/s`);
}

function processorTimes(): number[] {
  return [stage.gateway.pid, agentPid, process.pid].map(cpuMicroseconds);
}

async function record(name: string, target: Debugger): Promise<readonly [string, CpuProfile]> {
  const file = join(directory, `${what}-${name}.cpuprofile`);
  return [name, await recordProfile(target, DURATION_MS, file)];
}

function show(name: string, recording: CpuProfile): void {
  console.log(`\n${name}, share of the time:`);
  for (const entry of topOf(recording, 25)) console.log(entry);
}
