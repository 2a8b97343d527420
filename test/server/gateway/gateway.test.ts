import { access, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { DomainError } from '../../../server/core/domain-error.ts';
import { jsonLogger } from '../../../server/core/log.ts';
import type { OpenedDriver } from '../../../server/driver/open-driver.ts';
import { readConfig } from '../../../server/gateway/config.ts';
import { type Gateway, startGateway } from '../../../server/gateway/gateway.ts';
import { Store } from '../../../server/gateway/store/store.ts';
import { testDirectory } from './support/test-store.ts';

/** A driver that can be opened and closed and starts nothing. */
function fakeDriver(isolated: boolean): { opened: OpenedDriver; isClosed: () => boolean } {
  let isClosed = false;
  const opened: OpenedDriver = {
    egress: 'none',
    driver: {
      name: 'fake',
      isolated,
      verify: async () => {},
      start: () => Promise.reject(new Error('starts nothing')),
      endpoint: (directory) => ({ socketPath: join(directory, 'agent.sock') }),
      tend: async () => {},
      destroy: async () => {},
      close: () => {
        isClosed = true;
      },
    },
  };
  return { opened, isClosed: () => isClosed };
}

async function start(settings: Record<string, string> = {}, driver = fakeDriver(true)) {
  const directory = await testDirectory();
  const config = readConfig({ PORT: '0', COMPUTESDK_DATA_DIR: directory, ...settings }, directory);
  const lines: string[] = [];
  const logger = jsonLogger({ write: (line) => lines.push(line), now: () => 0, level: 'info' });
  const starting = startGateway(config, { logger, openDriver: async () => driver.opened });
  const closing = (gateway: Gateway) => gateway.close({ endAgents: true });
  onTestFinished(() => starting.then(closing, () => {}));
  return { starting, directory, driver, lines };
}

/** Whether nobody holds the directory's lock. */
async function isFree(directory: string): Promise<boolean> {
  const store = await Store.open(directory);
  await store.close();
  return true;
}

describe('starting', () => {
  test('serves with a key that it made and shows to its owner only', async () => {
    const { starting, directory, lines } = await start();
    const gateway = await starting;
    const file = join(directory, 'api-key');
    expect(gateway.apiKey).toEqual({
      text: (await readFile(file, 'utf8')).trim(),
      file,
      created: true,
    });
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect(lines.join('')).not.toContain(gateway.apiKey?.text);
    const response = await fetch(`${gateway.url}/computesdk.v1.AuthService/WhoAmI`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${gateway.apiKey?.text}`,
      },
      body: '{}',
    });
    expect(await response.json()).toMatchObject({ kind: 'PRINCIPAL_KIND_API_KEY' });
  });

  test('writes no key file when the settings give a key', async () => {
    const { starting, directory } = await start({ COMPUTESDK_API_KEY: 'the-key-of-the-settings' });
    expect((await starting).apiKey).toBeUndefined();
    await expect(access(join(directory, 'api-key'))).rejects.toThrow('ENOENT');
  });

  test('publishes the keys that verify its tokens', async () => {
    const { starting } = await start();
    const response = await fetch(`${(await starting).url}/.well-known/jwks.json`);
    expect(await response.json()).toEqual({
      keys: [expect.objectContaining({ kty: 'OKP', crv: 'Ed25519', alg: 'EdDSA' })],
    });
  });

  test('gives everything back when it fails half way', async () => {
    const first = await start();
    const port = String(new URL((await first.starting).url).port);
    const second = await start({ PORT: port });
    await expect(second.starting).rejects.toMatchObject({ reason: 'BAD_SETTING' });
    expect(second.driver.isClosed()).toBe(true);
    expect(await isFree(second.directory)).toBe(true);
  });

  test('gives the directory back when no driver works', async () => {
    const directory = await testDirectory();
    const config = readConfig({ PORT: '0', COMPUTESDK_DATA_DIR: directory }, directory);
    const openDriver = () =>
      Promise.reject(new DomainError('DRIVER_UNAVAILABLE', 'no box can be had'));
    const logger = jsonLogger({ write: () => {}, now: () => 0, level: 'error' });
    await expect(startGateway(config, { logger, openDriver })).rejects.toThrow('no box can be had');
    expect(await isFree(directory)).toBe(true);
  });
});

describe('a driver without isolation', () => {
  test.each([{ HOST: '0.0.0.0' }, { COMPUTESDK_PUBLIC_URL: 'https://boxes.example.com' }])(
    'does not serve others: %j',
    async (settings) => {
      const { starting, driver } = await start(settings, fakeDriver(false));
      await expect(starting).rejects.toMatchObject({
        reason: 'BAD_SETTING',
        message: /COMPUTESDK_UNSAFE=1/,
      });
      expect(driver.isClosed()).toBe(true);
    },
  );

  test('serves loopback, and others when that is allowed', async () => {
    await (await start({}, fakeDriver(false))).starting;
    const allowed = { COMPUTESDK_PUBLIC_URL: 'http://boxes.example.com', COMPUTESDK_UNSAFE: '1' };
    await (await start(allowed, fakeDriver(false))).starting;
  });
});

describe('files that the settings name', () => {
  test('must be there', async () => {
    const settings = {
      COMPUTESDK_TLS_CERT: '/nowhere/cert.pem',
      COMPUTESDK_TLS_KEY: '/nowhere/key.pem',
    };
    await expect((await start(settings)).starting).rejects.toMatchObject({
      reason: 'BAD_SETTING',
      message: /^COMPUTESDK_TLS_(CERT|KEY): cannot be read: .*ENOENT/,
    });
  });

  test('must be what they are said to be', async () => {
    const directory = await testDirectory();
    const file = join(directory, 'no.pem');
    await writeFile(file, 'nonsense');
    const settings = { COMPUTESDK_TLS_CERT: file, COMPUTESDK_TLS_KEY: file };
    await expect((await start(settings)).starting).rejects.toMatchObject({
      reason: 'BAD_SETTING',
      message: /COMPUTESDK_TLS_CERT/,
    });
  });

  test('must not stand where the data directory is to be', async () => {
    const file = join(await testDirectory(), 'file');
    await writeFile(file, '');
    await expect((await start({ COMPUTESDK_DATA_DIR: file })).starting).rejects.toMatchObject({
      reason: 'BAD_SETTING',
      message: /^COMPUTESDK_DATA_DIR: cannot be used/,
    });
  });
});

describe('closing', () => {
  test('gives everything back, once', async () => {
    const { starting, directory, driver } = await start();
    const gateway = await starting;
    await Promise.all([gateway.close({ endAgents: false }), gateway.close({ endAgents: true })]);
    expect(driver.isClosed()).toBe(true);
    expect(await isFree(directory)).toBe(true);
    await expect(fetch(`${gateway.url}/healthz`)).rejects.toThrow();
  });
});
