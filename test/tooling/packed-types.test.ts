import { beforeAll, expect, test } from 'vitest';
import { command } from './lint.ts';
import { createPackedApp, type PackedApp, run } from './packed-app.ts';

/** What a careful consumer turns on. */
const STRICT = {
  strict: true,
  skipLibCheck: false,
  exactOptionalPropertyTypes: true,
  noUncheckedIndexedAccess: true,
  noEmit: true,
  target: 'es2022',
  lib: ['es2022', 'dom', 'dom.iterable'],
};

const FRONTEND = `
import { Sandbox, SandboxError } from 'computesdk/client';

export async function open(url: string, token: string): Promise<string> {
  const sandbox = await Sandbox.connect({ url, token });
  const terminal = await sandbox.terminal.create({ pty: true, shell: '/bin/bash' });
  terminal.on('output', (data) => data.trimEnd());
  terminal.on('data', (bytes) => bytes.byteLength);
  terminal.on('error', (error) => error.message);
  terminal.write('npm run dev\\n');
  terminal.resize(120, 40);
  const unsubscribe: () => void = terminal.on('exit', ({ exitCode, signal }) => [exitCode, signal]);
  unsubscribe();
  return terminal.id;
}

export async function renewed(url: string, next: () => Promise<string>): Promise<Sandbox> {
  const sandbox = await Sandbox.connect({ url, token: next });
  await Sandbox.connect({ url, token: ({ reason, signal }) => reason + String(signal.aborted) });
  sandbox.on('connection', ({ state }) => state);
  return sandbox;
}

export async function byCookie(url: string): Promise<void> {
  const sandbox = await Sandbox.connect({ url });
  sandbox.on('expiring', ({ expiresAt }) => expiresAt.getTime());
  await sandbox.signOut();
  await sandbox.signOut({ all: true });
}

export function explain(error: unknown): string {
  return error instanceof SandboxError ? error.code : 'unknown';
}
`;

const BACKEND = `
import { compute } from 'computesdk';

export async function invite(): Promise<{ sandboxUrl: string; token: string }> {
  const sandbox = await compute.sandbox.findOrCreate({ name: 'ide', namespace: 'user-1' });
  const session = await sandbox.sessionToken.create({ description: 'IDE', expiresIn: 86400 });
  const tokens = await sandbox.sessionToken.list();
  tokens.forEach((token) => {
    const line: string = \`\${token.id}: \${token.description}\`;
    const times: (Date | null | undefined)[] = [token.createdAt, token.expiresAt, token.lastUsedAt];
    return [line, times];
  });
  await sandbox.sessionToken.revoke(session.id);
  const link = await sandbox.magicLink.create({
    redirectUrl: '/workspace',  // Where to redirect after auth
  });
  const text: string = \`\${link.url} \${link.expiresAt} \${session.kind}\`;
  for await (const page of sandbox.magicLink.pages()) page.map(({ usedAt }) => usedAt ?? text);
  await sandbox.magicLink.revoke(link.id);
  return { sandboxUrl: sandbox.url, token: session.token };
}
`;

const PROTO = `
import { TerminalService } from 'computesdk/proto';

export const name: string = TerminalService.typeName;
`;

let app: PackedApp;

beforeAll(() => {
  app = createPackedApp({ install: ['--omit=optional', '--ignore-scripts'] });
  app.write('src/frontend.ts', FRONTEND);
  app.write('src/backend.ts', BACKEND);
  app.write('src/proto.ts', PROTO);
}, 180_000);

test.each([
  { module: 'nodenext', moduleResolution: 'nodenext' },
  { module: 'esnext', moduleResolution: 'bundler' },
])('a strict consumer compiles with moduleResolution $moduleResolution', (modules) => {
  const compilerOptions = { ...STRICT, ...modules, types: [] };
  app.write('tsconfig.json', JSON.stringify({ compilerOptions, include: ['src'] }));
  expect(run(command('tsc'), ['-p', '.'], app.directory)).toBe('');
});
