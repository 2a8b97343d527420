import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../support/until.ts';
import { type GatewayProcess, startGateway } from './gateway-process.ts';
import { createPackedApp, type PackedApp, run } from './packed-app.ts';
import { backendProgram, frontendProgram, tokenProgram, watcherProgram } from './spec-snippets.ts';

let app: PackedApp;
let gateway: GatewayProcess;

beforeAll(async () => {
  // What a front end installs: nothing native, nothing of the server, no script is run.
  app = createPackedApp({ install: ['--omit=optional', '--ignore-scripts'] });
  const server = createPackedApp({ install: [] });
  const main = 'node_modules/computesdk/dist/server/gateway/main.js';
  gateway = await startGateway(join(server.directory, main));
}, 180_000);

afterAll(async () => {
  await gateway?.[Symbol.asyncDispose]();
});

test('an app without the optional dependencies has none of them', () => {
  const server = ['node-pty', 'jose', 'kysely', '@connectrpc/connect-node'];
  const present = server.filter((name) => existsSync(join(app.directory, 'node_modules', name)));
  expect(present).toEqual([]);
});

test.each(['computesdk', 'computesdk/client', 'computesdk/proto'])('%s loads in it', (name) => {
  const program = app.write(
    'load.mjs',
    `console.log(Object.keys(await import('${name}')).length);`,
  );
  expect(Number(run('node', [program], app.directory))).toBeGreaterThan(0);
});

test('the gateway of the tarball has the workspace page, with all that it names', async () => {
  const get = (path: string) => fetch(gateway.url + path, { headers: { connection: 'close' } });
  const page = await get(`/workspace/sbx${'0'.repeat(26)}`);
  expect(page.status).toBe(200);
  const names = [...(await page.text()).matchAll(/\/workspace\/assets\/[\w.-]+/g)];
  expect(names.length).toBeGreaterThanOrEqual(2);
  for (const [path] of names) {
    const asset = await get(path);
    expect([asset.status, (await asset.arrayBuffer()).byteLength > 1_000]).toEqual([200, true]);
  }
});

test('the quick start of the guide runs as written', async () => {
  const { sandboxUrl, token } = JSON.parse(await backend(backendProgram())) as Record<
    string,
    string
  >;
  expect(sandboxUrl).toMatch(/^http:\/\/localhost:\d+\/sandboxes\/sbx[0-9a-z]+$/);
  const access = JSON.stringify({ sandboxUrl, token });
  const program = app.write('frontend.mjs', frontendProgram(access));
  const child = node(program, {});
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  try {
    await until(() => /total \d+/.test(output), { what: `the listing, in:\n${output}` });
    expect(output.indexOf('ls -la')).toBeGreaterThan(-1);
    expect(output).toMatch(/^[^\n]*[$#] /);
  } finally {
    await end(child);
  }
});

test('the watcher snippet of the guide runs as written', async () => {
  const access = await backend(backendProgram());
  const child = node(app.write('watcher.mjs', watcherProgram(access)), {});
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  try {
    await until(() => output.includes('editor:'), { what: `the content, in:\n${output}` });
    expect(output).toBe('add: /project/watched.txt\neditor: from the shell\n\n');
  } finally {
    await end(child);
  }
});

test('the token snippets of the guide run as written', async () => {
  const output = await backend(tokenProgram());
  expect(output).toMatch(/^tok[0-9a-z]+: User session$/m);
  expect(output).toMatch(/^ {2}Created: \w{3} \w{3} \d\d \d{4} /m);
  expect(output).toMatch(/^ {2}Last used: never$/m);
  expect(output).toMatch(/^retrieved true\nleft 0$/m);
});

async function backend(program: string): Promise<string> {
  const child = node(app.write('backend.mjs', program), {
    COMPUTESDK_API_KEY: gateway.apiKey,
    COMPUTESDK_GATEWAY_URL: gateway.url,
  });
  let output = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  const [code] = await once(child, 'close');
  expect(code).toBe(0);
  return output;
}

function node(program: string, env: Record<string, string>): ChildProcess {
  return spawn(resolve('node_modules', '.bin', 'node'), [program], {
    cwd: app.directory,
    env: { PATH: process.env['PATH'] ?? '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill();
  await exited;
}
