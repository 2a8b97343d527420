import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Sandbox } from '../../client/index.ts';
import type { Sandbox as SandboxRecord } from '../../gen/computesdk/v1/sandbox_pb.ts';
import { gatewayClients, newSandbox } from '../support/clients.ts';
import { TestGateway } from '../support/gateway.ts';
import { SEEN_FILE } from '../support/hostile-agent.ts';
import { report } from '../support/report.ts';
import { scaled } from '../support/scale.ts';
import { SourceCopy } from '../support/source-copy.ts';
import { until } from '../support/until.ts';

const REFRESHES = scaled(100);
/** Clients at a time, for each transport. A token is refreshed after half of its life: less of it would not do on a busy machine. */
const CLIENTS = 5;
const TOKEN_LIFE = { seconds: 4n };

let copy: SourceCopy;
let gateway: TestGateway;
let sandbox: SandboxRecord;

beforeAll(async () => {
  copy = new SourceCopy();
  copy.mutate({
    file: 'server/agent/main.ts',
    from: "import { systemClock } from '../core/clock.ts';",
    to: "import { recorded } from '../../test/support/hostile-agent.ts';\nimport { systemClock } from '../core/clock.ts';",
  });
  copy.mutate({
    file: 'server/agent/main.ts',
    from: 'server.listen({ fd: config.listenFd }',
    to: 'recorded(server).listen({ fd: config.listenFd }',
  });
  await copy.buildAgent();
  gateway = await TestGateway.start({ root: copy.root });
  ({ sandbox } = await newSandbox(gateway));
}, 60_000);
afterAll(async () => {
  await gateway.stop();
  copy[Symbol.dispose]();
}, 60_000);

it('a sandbox that keeps every byte has no credential, over both transports and through refreshes', async () => {
  const secrets: string[] = [];
  const { tokens } = gatewayClients(gateway);
  const token = async () => {
    const made = await tokens.createSessionToken({ sandboxId: sandbox.id, expiresIn: TOKEN_LIFE });
    secrets.push(made.token);
    return made.token;
  };
  const use = async (transport: 'websocket' | 'http', index: number) => {
    await using client = await Sandbox.connect({ url: sandbox.url, token, transport });
    const terminal = await client.terminal.create({ shell: '/bin/cat' });
    let output = '';
    terminal.on('output', (text) => {
      output += text;
    });
    const share = Math.ceil(REFRESHES / CLIENTS);
    for (let round = 0; round < share; round += 1) {
      const before = secrets.length;
      await until(() => secrets.length > before + CLIENTS, { what: 'refreshes' });
      await terminal.write(`typed-${transport}-${index}-${round}\n`);
    }
    await until(() => output.includes(`-${share - 1}\r\n`), { what: 'what was typed last' });
    await terminal.destroy();
  };
  const clients = Array.from({ length: CLIENTS }, (_, index) => index);
  await Promise.all(clients.flatMap((index) => [use('websocket', index), use('http', index)]));
  const path = join(gateway.dataDirectory, 'sandboxes', sandbox.id, 'project', SEEN_FILE);
  const seen = readFileSync(path, 'latin1');
  report({
    test: 'refreshes beside a sandbox that keeps every byte',
    count: secrets.length,
    figures: { bytes: seen.length },
  });
  expect(secrets.length).toBeGreaterThan(REFRESHES);
  // It sees what is meant for it.
  expect(seen).toContain('typed-websocket-0-0');
  expect(seen).toContain('typed-http-0-0');
  const leaks = [gateway.apiKey, ...secrets].flatMap((secret) => {
    const [, , signature = secret] = secret.split('.');
    return [secret, signature].filter((part) => seen.includes(part));
  });
  expect(leaks).toEqual([]);
  expect(seen).not.toMatch(/authorization|bearer/i);
});
