import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { DomainError } from '../../../server/core/domain-error.ts';
import { isLoopbackOnly, resolveAddresses } from '../../../server/gateway/addresses.ts';
import { readConfig } from '../../../server/gateway/config.ts';
import { SETTINGS, unknownSettings } from '../../../server/gateway/settings.ts';
import { nodePath, repositoryRoot } from '../../support/paths.ts';

const run = promisify(execFile);

function read(environment: Record<string, string>) {
  return readConfig(environment, '/home/app');
}

describe('without settings', () => {
  test('the gateway listens on loopback only and keeps its state below the directory', () => {
    expect(read({})).toEqual({
      hosts: ['127.0.0.1', '::1'],
      port: 4000,
      dataDirectory: '/home/app/.computesdk',
      trustedProxies: [],
      previewDomain: 'localhost',
      unsafe: false,
      uidRange: { first: 70_000, last: 79_999 },
      agentGraceMs: 600_000,
      logLevel: 'info',
    });
  });

  test('an empty setting counts as none', () => {
    const empty = Object.fromEntries(SETTINGS.map(({ name }) => [name, ' ']));
    expect(read(empty)).toEqual(read({}));
  });
});

test('every setting has its effect', () => {
  const settings = {
    HOST: '0.0.0.0, [::]',
    PORT: '0',
    COMPUTESDK_PUBLIC_URL: 'https://Boxes.example.com/',
    COMPUTESDK_DATA_DIR: 'state',
    COMPUTESDK_API_KEY: 'test-key',
    COMPUTESDK_APP_ORIGIN: 'https://app.example.com/',
    COMPUTESDK_ALLOWED_ORIGINS: 'https://app.example.com, http://localhost:5173',
    COMPUTESDK_ALLOWED_HOSTS: 'Boxes.example.com, 10.0.0.1:4000',
    COMPUTESDK_TRUSTED_PROXIES: '10.0.0.0/8,::1',
    COMPUTESDK_PREVIEW_DOMAIN: 'preview.example.com',
    COMPUTESDK_DRIVER: 'process',
    COMPUTESDK_EGRESS: 'none',
    COMPUTESDK_UNSAFE: '1',
    COMPUTESDK_UID_RANGE: '100000-100099',
    COMPUTESDK_AGENT_GRACE: '5',
    COMPUTESDK_TLS_CERT: 'cert.pem',
    COMPUTESDK_TLS_KEY: '/etc/key.pem',
    COMPUTESDK_LOG_LEVEL: 'debug',
    COMPUTESDK_PRINT_LINK: '0',
  };
  expect(Object.keys(settings).sort()).toEqual(SETTINGS.map(({ name }) => name).sort());
  expect(read(settings)).toEqual({
    hosts: ['0.0.0.0', '::'],
    port: 0,
    publicUrl: 'https://boxes.example.com',
    dataDirectory: '/home/app/state',
    apiKey: 'test-key',
    appOrigin: 'https://app.example.com',
    allowedOrigins: ['https://app.example.com', 'http://localhost:5173'],
    allowedHosts: ['boxes.example.com', '10.0.0.1:4000'],
    trustedProxies: ['10.0.0.0/8', '::1'],
    previewDomain: 'preview.example.com',
    driver: 'process',
    egress: 'none',
    unsafe: true,
    printLink: false,
    uidRange: { first: 100_000, last: 100_099 },
    agentGraceMs: 5000,
    tls: { certificateFile: '/home/app/cert.pem', keyFile: '/etc/key.pem' },
    logLevel: 'debug',
  });
});

describe('a bad value', () => {
  test.each([
    ['HOST', 'example.com'],
    ['HOST', '999.1.1.1'],
    ['PORT', '65536'],
    ['PORT', '-1'],
    ['PORT', '4000x'],
    ['PORT', '1e3'],
    ['COMPUTESDK_PUBLIC_URL', 'example.com'],
    ['COMPUTESDK_PUBLIC_URL', 'ftp://example.com'],
    ['COMPUTESDK_PUBLIC_URL', 'https://example.com/path'],
    ['COMPUTESDK_PUBLIC_URL', 'https://user:pw@example.com'],
    ['COMPUTESDK_PUBLIC_URL', 'javascript:alert(1)'],
    ['COMPUTESDK_APP_ORIGIN', 'https://example.com/app'],
    ['COMPUTESDK_ALLOWED_ORIGINS', '*'],
    ['COMPUTESDK_ALLOWED_ORIGINS', 'https://*.example.com/x'],
    ['COMPUTESDK_ALLOWED_ORIGINS', 'null'],
    ['COMPUTESDK_ALLOWED_HOSTS', 'https://example.com'],
    ['COMPUTESDK_ALLOWED_HOSTS', '*'],
    ['COMPUTESDK_TRUSTED_PROXIES', '10.0.0.0/33'],
    ['COMPUTESDK_TRUSTED_PROXIES', '10.0.0.0/8/8'],
    ['COMPUTESDK_TRUSTED_PROXIES', 'proxy.internal'],
    ['COMPUTESDK_PREVIEW_DOMAIN', 'https://preview'],
    ['COMPUTESDK_DRIVER', 'docker'],
    ['COMPUTESDK_EGRESS', 'all'],
    ['COMPUTESDK_UNSAFE', 'maybe'],
    ['COMPUTESDK_UID_RANGE', '70000'],
    ['COMPUTESDK_UID_RANGE', '0-100'],
    ['COMPUTESDK_UID_RANGE', '80000-70000'],
    ['COMPUTESDK_UID_RANGE', '70000-9999999999'],
    ['COMPUTESDK_AGENT_GRACE', '0'],
    ['COMPUTESDK_AGENT_GRACE', '10m'],
    ['COMPUTESDK_AGENT_GRACE', '9999999'],
    ['COMPUTESDK_LOG_LEVEL', 'loud'],
  ])('of %s (%s) is named, with what is accepted', (name, value) => {
    const refusal = refusalOf({ [name]: value });
    expect(refusal).toMatchObject({ reason: 'BAD_SETTING', field: name });
    expect(refusal.message).toMatch(new RegExp(`^${name}: ".*(;|must be)`));
    expect(refusal.message).toContain(value.split(',')[0] ?? '');
  });

  test('of the API key is not shown', () => {
    for (const value of ['short', 'with spaces in it', 'x'.repeat(513), 'schlüssel-äöü']) {
      const refusal = refusalOf({ COMPUTESDK_API_KEY: value });
      expect(refusal.message).toMatch(/^COMPUTESDK_API_KEY: must have 8 to 512 characters/);
      expect(refusal.message).not.toContain(value);
    }
  });

  test('of TLS is a certificate without its key, or the reverse', () => {
    expect(refusalOf({ COMPUTESDK_TLS_CERT: 'c' }).message).toContain(
      'COMPUTESDK_TLS_KEY: is missing',
    );
    expect(refusalOf({ COMPUTESDK_TLS_KEY: 'k' }).message).toContain(
      'COMPUTESDK_TLS_CERT: is missing',
    );
  });

  function refusalOf(settings: Record<string, string>): DomainError {
    try {
      read(settings);
    } catch (error) {
      if (error instanceof DomainError) return error;
      throw error;
    }
    throw new Error(`${JSON.stringify(settings)} was accepted`);
  }
});

describe('a name that is no setting', () => {
  test('is named with the nearest one that is', () => {
    const [slip, other] = unknownSettings([
      'COMPUTESDK_DRVIER',
      'COMPUTESDK_ENTIRELY_DIFFERENT_THING',
    ]);
    expect(slip).toBe(
      'COMPUTESDK_DRVIER is no setting and has no effect; did you mean COMPUTESDK_DRIVER?',
    );
    expect(other).toBe('COMPUTESDK_ENTIRELY_DIFFERENT_THING is no setting and has no effect');
  });

  test('is nothing of anybody else', () => {
    expect(
      unknownSettings(['PATH', 'HOST', 'COMPUTESDK_API_KEY', 'COMPUTESDK_GATEWAY_URL']),
    ).toEqual([]);
  });
});

describe('addresses', () => {
  test('follow the port, and each other', () => {
    expect(resolveAddresses(read({}), 4321)).toEqual({
      publicUrl: 'http://localhost:4321',
      appOrigin: 'http://localhost:4321',
      allowedOrigins: ['http://localhost:4321'],
      allowedHosts: ['localhost:4321'],
      previewDomain: 'localhost',
    });
    const settings = {
      COMPUTESDK_PUBLIC_URL: 'https://a.example',
      COMPUTESDK_APP_ORIGIN: 'https://b.example',
    };
    expect(resolveAddresses(read(settings), 4321)).toEqual({
      publicUrl: 'https://a.example',
      appOrigin: 'https://b.example',
      allowedOrigins: ['https://b.example'],
      allowedHosts: ['a.example'],
      previewDomain: 'localhost',
    });
    const tls = { COMPUTESDK_TLS_CERT: 'c', COMPUTESDK_TLS_KEY: 'k' };
    expect(resolveAddresses(read(tls), 4321).publicUrl).toBe('https://localhost:4321');
  });

  test.each([
    [true, {}],
    [true, { HOST: '127.0.0.2', COMPUTESDK_PUBLIC_URL: 'http://[::1]:4000' }],
    [false, { HOST: '0.0.0.0' }],
    [false, { HOST: '127.0.0.1,192.168.1.2' }],
    [false, { COMPUTESDK_PUBLIC_URL: 'https://boxes.example.com' }],
    [false, { COMPUTESDK_PUBLIC_URL: 'https://127.0.0.1.example.com' }],
  ])('are loopback only: %s for %j', (expected, settings) => {
    expect(isLoopbackOnly(read({ ...settings }))).toBe(expected);
  });
});

describe('the documents', () => {
  test('name every setting in .env.example, and none that is not one', async () => {
    const text = await readFile(join(repositoryRoot, '.env.example'), 'utf8');
    const named = [...text.matchAll(/^#? ?([A-Z][A-Z_]+)=/gm)].map(([, name]) => name);
    expect(named).toEqual(SETTINGS.map(({ name }) => name));
  });
});

describe('the command', () => {
  const main = join(repositoryRoot, 'server/gateway/main.ts');

  test('lists all settings with --help', async () => {
    const { stdout } = await run(nodePath, [main, '--help'], { env: {} });
    for (const { name, meaning } of SETTINGS) {
      expect(stdout).toContain(name);
      expect(stdout).toContain(meaning);
    }
  });

  test('tells its version', async () => {
    const { stdout } = await run(nodePath, [main, '--version'], { env: {} });
    expect(stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test('ends with one line and no stack when a setting is bad', async () => {
    const failed = await run(nodePath, [main], { env: { PORT: 'x' } }).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(/^computesdk gateway: PORT: [^\n]*\n$/),
    });
  });

  test('refuses an argument that it does not know', async () => {
    const failed = await run(nodePath, [main, '--prot'], { env: {} }).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('--help') });
  });
});
