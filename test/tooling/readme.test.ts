import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, test } from 'vitest';
import { MAX_QUEUED_BYTES } from '../../client/connection/input-queue.ts';
import { TOKEN_FUNCTION_LIMIT_MS } from '../../client/connection/token-function.ts';
import { EXPIRED_LIMIT_MS } from '../../client/connection/token-renewal.ts';
import { DEAD_AFTER_MS } from '../../client/connection/watchdog.ts';
import { MAX_STREAMS_IN_PAGE } from '../../client/connection/watched-streams.ts';
import { MAX_HELD } from '../../client/signal-teller.ts';
import { MAX_WAITING, PREVIEW_LIMIT_MS } from '../../client/signals.ts';
import { CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from '../../frames/outflow.ts';
import { MAX_COMMAND_CONNECTIONS, MAX_COMMAND_MS } from '../../server/agent/signal/box-command.ts';
import {
  MAX_FAILURE_CHARS,
  MAX_SIGNAL_DATA_CHARS,
  SIGNAL_LIMITS,
} from '../../server/agent/signal/limits.ts';
import { TERMINAL_LIMITS } from '../../server/agent/terminal/limits.ts';
import { WATCHER_LIMITS } from '../../server/agent/watcher/limits.ts';
import * as bounds from '../../server/core/bounds.ts';
import {
  MAX_AUDIT_FILE_BYTES,
  MAX_AUDIT_FILES,
  MAX_QUEUED_AUDIT_LINES,
} from '../../server/gateway/audit/audit-log.ts';
import { MAX_SUBJECTS } from '../../server/gateway/auth/credential-refresh.ts';
import { MAX_BROWSER_GRANTS, REPEAT_WITHIN_MS } from '../../server/gateway/auth/link-redemption.ts';
import {
  DEFAULT_LINK_EXPIRES_IN_MS,
  MAX_LIVE_LINKS,
} from '../../server/gateway/auth/magic-links.ts';
import {
  KEY_PREVIEW_MS,
  MAX_LIVE_TICKETS,
  MAX_PREVIEW_COOKIES,
  TICKET_LIFE_MS,
} from '../../server/gateway/auth/previews.ts';
import {
  DEFAULT_EXPIRES_IN_MS,
  MAX_DESCRIPTION_CHARS,
  MAX_LIVE_TOKENS,
} from '../../server/gateway/auth/session-tokens.ts';
import {
  ADDRESS_BURST,
  ADDRESS_FAILURES_PER_SECOND,
} from '../../server/gateway/http/address-limiter.ts';
import {
  CREDENTIAL_BURST,
  CREDENTIAL_CALLS_PER_SECOND,
} from '../../server/gateway/http/guarded-authentication.ts';
import {
  MAX_SILENT_CONNECTIONS,
  MAX_SILENT_LOCAL_CONNECTIONS,
} from '../../server/gateway/http/silent-connections.ts';
import {
  MAX_LARGE_ARRIVALS_PER_SANDBOX,
  MAX_PREVIEW_REQUESTS_PER_SANDBOX,
  MAX_SOCKETS_PER_SANDBOX,
  MAX_STREAMS_PER_SANDBOX,
  MAX_UNARY_CALLS_PER_SANDBOX,
} from '../../server/gateway/proxy/live-call-registry.ts';
import { MAX_STALL_MS } from '../../server/gateway/proxy/stall-watch.ts';
import { MAX_DEATHS } from '../../server/gateway/sandbox/agent-life.ts';
import { MAX_SANDBOXES } from '../../server/gateway/sandbox/insertion.ts';
import {
  DEFAULT_EXTENSION_MS,
  DEFAULT_TIMEOUT_MS,
  MAX_NAME_CHARS,
  MAX_PUBLIC_PORTS,
} from '../../server/gateway/sandbox/sandbox-options.ts';
import { SETTINGS } from '../../server/gateway/settings.ts';
import { HELLO_MS } from '../../server/gateway/socket/greeting.ts';
import { MAX_UNKNOWN_SOCKETS } from '../../server/gateway/socket/socket-upgrade.ts';
import { REQUEST_MEMORY_MS } from '../../server/gateway/store/requests.ts';
import { MAX_MESSAGE_BYTES } from '../../server/rpc/connect-node.ts';
import { TestGateway } from '../support/gateway.ts';
import { run } from './packed-app.ts';
import {
  FRONTEND_SNIPPET,
  SERVER_SNIPPET,
  SIGNALS_SNIPPET,
  WATCHER_SNIPPET,
} from './spec-snippets.ts';

/** What the code holds of each limit in the table; names of terminal limits are those of the object. */
const LIMITS: Readonly<Record<string, unknown>> = {
  ...bounds,
  ...WATCHER_LIMITS,
  ...TERMINAL_LIMITS,
  ...SIGNAL_LIMITS,
  ADDRESS_BURST,
  ADDRESS_FAILURES_PER_SECOND,
  CREDENTIAL_BURST,
  CREDENTIAL_CALLS_PER_SECOND,
  DEAD_AFTER_MS,
  DEFAULT_EXPIRES_IN_MS,
  MAX_AUDIT_FILES,
  MAX_AUDIT_FILE_BYTES,
  MAX_QUEUED_AUDIT_LINES,
  MAX_SILENT_CONNECTIONS,
  MAX_SILENT_LOCAL_CONNECTIONS,
  DEFAULT_EXTENSION_MS,
  DEFAULT_TIMEOUT_MS,
  EXPIRED_LIMIT_MS,
  MAX_DEATHS,
  MAX_COMMAND_CONNECTIONS,
  MAX_COMMAND_MS,
  MAX_FAILURE_CHARS,
  MAX_SIGNAL_DATA_CHARS,
  MAX_HELD,
  MAX_WAITING,
  PREVIEW_LIMIT_MS,
  MAX_DESCRIPTION_CHARS,
  MAX_LARGE_ARRIVALS_PER_SANDBOX,
  MAX_LIVE_TOKENS,
  MAX_LIVE_LINKS,
  DEFAULT_LINK_EXPIRES_IN_MS,
  REPEAT_WITHIN_MS,
  MAX_BROWSER_GRANTS,
  MAX_MESSAGE_BYTES,
  MAX_NAME_CHARS,
  MAX_QUEUED_BYTES,
  MAX_SANDBOXES,
  MAX_STALL_MS,
  MAX_STREAMS_PER_SANDBOX,
  MAX_SOCKETS_PER_SANDBOX,
  MAX_STREAMS_IN_PAGE,
  MAX_PREVIEW_REQUESTS_PER_SANDBOX,
  TICKET_LIFE_MS,
  MAX_LIVE_TICKETS,
  MAX_PUBLIC_PORTS,
  KEY_PREVIEW_MS,
  MAX_PREVIEW_COOKIES,
  MAX_UNKNOWN_SOCKETS,
  HELLO_MS,
  STREAM_WINDOW_BYTES,
  CONNECTION_WINDOW_BYTES,
  MAX_SUBJECTS,
  MAX_UNARY_CALLS_PER_SANDBOX,
  REQUEST_MEMORY_MS,
  TOKEN_FUNCTION_LIMIT_MS,
};

const UNITS: Readonly<Record<string, number>> = {
  '': 1,
  characters: 1,
  s: 1_000,
  min: 60_000,
  h: 3_600_000,
  days: 86_400_000,
  KiB: 1024,
  MiB: 1024 * 1024,
};

const readme = readFileSync('README.md', 'utf8');
const limitRows = table('Limits').map(([what = '', limit = '', , name = '']) => ({
  what,
  limit,
  name,
}));

test.each(limitRows)('the limit of "$what" is $limit', ({ limit, name }) => {
  const [amount = '', unit = ''] = limit.split(' ');
  expect(Number(amount.replaceAll(',', '')) * (UNITS[unit] ?? Number.NaN)).toBe(LIMITS[name]);
});

test('the table of limits is read at all', () => {
  expect(limitRows.length).toBeGreaterThan(20);
});

test('the table of settings is the one of the gateway', () => {
  const settings = SETTINGS.map(({ name, fallback, meaning }) => [name, fallback, meaning]);
  expect(table('Settings')).toEqual(settings);
});

test('.env.example has every setting and nothing else', () => {
  const names = [...readFileSync('.env.example', 'utf8').matchAll(/^#([A-Z_]+)=$/gm)];
  expect(names.map(([, name]) => name)).toEqual(SETTINGS.map(({ name }) => name));
});

test('the quick start is the one of the guide', () => {
  for (const snippet of [SERVER_SNIPPET, FRONTEND_SNIPPET, WATCHER_SNIPPET, SIGNALS_SNIPPET]) {
    expect(readme).toContain(`\`\`\`js${snippet}\`\`\``);
  }
});

test('every test that the page about security names is there', () => {
  const named = readFileSync('docs/security.md', 'utf8').match(/test\/[\w./-]+\.test\.ts/g) ?? [];
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter((path) => !existsSync(path))).toEqual([]);
});

test('the commands of "Without the SDK" work as written', async () => {
  await using gateway = await TestGateway.start();
  const keyFile = join(tmpdir(), 'readme-api-key');
  writeFileSync(keyFile, gateway.apiKey);
  const blocks = [...section('Without the SDK').matchAll(/```sh\n([^`]*)```/g)];
  const commands = blocks.map(([, text]) => text).join('');
  const script = commands
    .replaceAll('http://localhost:4000', gateway.url)
    .replaceAll('.computesdk/api-key', keyFile);
  const output = run('bash', ['-euo', 'pipefail', '-c', script], resolve('.'));
  expect(output).toContain('"shell":"/bin/bash"');
  expect(output).toContain('computesdk.v1.SandboxService/CreateSandbox');
  expect(output).toContain('computesdk.v1.TerminalService/AttachTerminal');
  expect(output).toMatch(/"exited": \{\s+"cursor": "\d+",\s+"exitCode": 0\s+\}/);
});

/** The text below a heading. */
function section(title: string): string {
  const start = readme.indexOf(`## ${title}\n`);
  const end = readme.indexOf('\n## ', start);
  if (start < 0) throw new Error(`README.md has no section ${title}`);
  return readme.slice(start, end < 0 ? undefined : end);
}

/** The cells of the first table below a heading, without its head and without back-ticks. */
function table(title: string): string[][] {
  const lines = section(title)
    .split('\n')
    .filter((line) => line.startsWith('|'));
  return lines.slice(2).map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.replaceAll('`', '').trim()),
  );
}
