// Run as a process of its own, in the network of another one: asks that Node.js process for garbage
// collection, and prints what it holds then; or records what its processor does. Arguments: the port of
// its debugger; for a profile also the milliseconds and the file.
import { writeFileSync } from 'node:fs';

const [port = '', durationMs, file = ''] = process.argv.slice(2);
const socket = new WebSocket(await debuggerUrl());
await new Promise((resolve, reject) => {
  socket.onopen = resolve;
  socket.onerror = reject;
});
let lastId = 0;
const waiting = new Map<number, (result: unknown) => void>();
socket.onmessage = ({ data }) => {
  const { id, result } = JSON.parse(data);
  waiting.get(id)?.(result);
};
if (durationMs !== undefined) await profile(Number(durationMs));
else await weigh();
socket.close();

async function debuggerUrl(): Promise<string> {
  for (let attempt = 0; ; attempt++) {
    try {
      const targets = await (await fetch(`http://127.0.0.1:${port}/json/list`)).json();
      return targets[0].webSocketDebuggerUrl;
    } catch (error) {
      if (attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
}

function send(method: string, params: unknown = {}): Promise<unknown> {
  lastId += 1;
  const id = lastId;
  return new Promise((resolve) => {
    waiting.set(id, resolve);
    socket.send(JSON.stringify({ id, method, params }));
  });
}

async function weigh(): Promise<void> {
  // What one collection finalizes, the next one frees.
  for (let round = 0; round < 3; round++) await send('HeapProfiler.collectGarbage');
  const expression = 'JSON.stringify(process.memoryUsage())';
  const answer = await send('Runtime.evaluate', { expression });
  // The protocol answers so.
  console.log((answer as { result: { value: string } }).result.value);
}

async function profile(ms: number): Promise<void> {
  await send('Profiler.enable');
  await send('Profiler.setSamplingInterval', { interval: 200 });
  await send('Profiler.start');
  console.log('profiling');
  await new Promise((resolve) => setTimeout(resolve, ms));
  const answer = await send('Profiler.stop');
  // The protocol answers so.
  writeFileSync(file, JSON.stringify((answer as { profile: unknown }).profile));
}
