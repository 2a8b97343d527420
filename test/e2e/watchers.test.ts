import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SandboxError } from '../../client/index.ts';
import { TestGateway } from '../support/gateway.ts';
import { until } from '../support/until.ts';
import { changeOf, listen, watchedSandbox } from '../support/watching.ts';

let gateway: TestGateway;
let scene: Awaited<ReturnType<typeof watchedSandbox>>;

beforeAll(async () => {
  gateway = await TestGateway.start();
  scene = await watchedSandbox(gateway);
});

afterAll(async () => {
  await scene?.sandbox.disconnect();
  await gateway?.[Symbol.asyncDispose]();
});

/** An empty directory of its own for a test, on the host and in the sandbox. */
function folder(name: string) {
  const host = join(scene.project, name);
  mkdirSync(host, { recursive: true });
  const write = (path: string, content: string | Uint8Array) => {
    mkdirSync(join(host, path, '..'), { recursive: true });
    writeFileSync(join(host, path), content);
  };
  return { host, path: `/project/${name}`, write };
}

describe('the watcher of the guide', () => {
  it('gives the editor what was written', async () => {
    const { sandbox, project } = scene;
    mkdirSync(join(project, 'node_modules', 'thing'), { recursive: true });
    const logged: string[] = [];
    const editor = {
      value: '',
      setValue(value: string) {
        this.value = value;
      },
    };
    const watcher = await sandbox.watcher.create('/project', {
      ignored: ['node_modules', '.git'],
      includeContent: true,
    });

    watcher.on('change', (event) => {
      logged.push(`${event.event}: ${event.path}`);
      if (event.content) {
        editor.setValue(event.content);
      }
    });
    writeFileSync(join(project, 'node_modules', 'thing', 'index.js'), 'ignored');
    writeFileSync(join(project, 'main.ts'), 'console.log("größer")\n');
    await until(() => logged.length > 0, { what: 'the change' });
    expect(logged).toEqual(['add: /project/main.ts']);
    expect(editor.value).toBe('console.log("größer")\n');
    await watcher.destroy();
  });

  it('hears what a program in the sandbox writes', async () => {
    const { sandbox } = scene;
    const watcher = await sandbox.watcher.create('/project');
    const heard = listen(watcher);
    const terminal = await sandbox.terminal.create({
      shell: '/bin/sh',
      args: ['-c', 'mkdir made && echo hello > made/by-program'],
    });
    await changeOf(heard, '/project/made/by-program');
    expect(heard.lines()).toEqual(['addDir made', 'add made/by-program']);
    await Promise.all([watcher.destroy(), terminal.destroy()]);
  });
});

describe('what changes carry', () => {
  it('is the content of text files up to the limit, and otherwise why not', async () => {
    const { host, path, write } = folder('content');
    const watcher = await scene.sandbox.watcher.create(path, {
      includeContent: true,
      maxContentBytes: 300_000,
    });
    const heard = listen(watcher);
    const long = 'ä'.repeat(150_000);
    write('empty', '');
    write('long', long);
    write('too-large', 'x'.repeat(300_001));
    write('binary', Buffer.from([1, 0, 2]));
    write('latin1', Buffer.from('größer', 'latin1'));
    symlinkSync('long', join(host, 'link'));
    const expected = {
      empty: ['', 0],
      long: ['long', 300_000],
      'too-large': 'too_large',
      binary: 'binary',
      latin1: 'binary',
      link: 'unreadable',
    };
    // The last state of each: on a busy machine a file is told when it is made, and when it is written.
    const seen = () =>
      Object.fromEntries(
        heard.changes.map(({ path: at, content, contentOmitted, size }) => [
          at.slice(path.length + 1),
          contentOmitted ?? [content === long ? 'long' : content, size],
        ]),
      );
    const what = 'the last state of each file';
    await until(() => isDeepStrictEqual(seen(), expected), { what }).catch(() => undefined);
    expect(seen()).toEqual(expected);
    const change = heard.changes.findLast(({ path: at }) => at.endsWith('/long'));
    expect(Math.abs(Date.now() - (change?.mtime?.getTime() ?? 0))).toBeLessThan(60_000);
    expect(change?.bytes).toBeInstanceOf(Uint8Array);
    await watcher.destroy();
  });

  it('is the last state of a burst, and one change for a file that was replaced', async () => {
    const { host, path, write } = folder('bursts');
    write('burst', 'before');
    write('saved', 'before');
    write('backed-up', 'before');
    const watcher = await scene.sandbox.watcher.create(path, { includeContent: true });
    const heard = listen(watcher);
    const startedAt = performance.now();
    for (let turn = 0; turn < 100; turn++) write('burst', `state ${turn}`);
    const burstMs = performance.now() - startedAt;
    // As most editors save.
    write('.saved.tmp', 'after');
    renameSync(join(host, '.saved.tmp'), join(host, 'saved'));
    // As some others save.
    renameSync(join(host, 'backed-up'), join(host, 'backed-up~'));
    write('backed-up', 'after');
    rmSync(join(host, 'backed-up~'));
    // What is taken away is told later than what is added, in case it comes back.
    for (const name of ['saved', 'backed-up']) await changeOf(heard, `${path}/${name}`);
    write('last', '');
    await changeOf(heard, `${path}/last`);
    const seen = heard.changes.map(({ event, path: at, content }) =>
      [event, at.slice(path.length + 1), content].join(' '),
    );
    const ofBurst = seen.filter((line) => line.startsWith('change burst '));
    expect(ofBurst.at(-1)).toBe('change burst state 99');
    // One in 50 ms, of 100.
    expect(ofBurst.length).toBeLessThanOrEqual(2 + burstMs / 50);
    expect(seen.filter((line) => !ofBurst.includes(line)).toSorted()).toEqual([
      'add last ',
      'change backed-up after',
      'change saved after',
    ]);
    await watcher.destroy();
  });
});

describe('a listener', () => {
  it('gets what happened while its connection was cut, and while the gateway was gone', async () => {
    await using own = await TestGateway.start();
    const { sandbox, owned, project } = await watchedSandbox(own);
    const watcher = await sandbox.watcher.create('/project', { includeContent: true });
    const heard = listen(watcher);
    writeFileSync(join(project, 'before'), '1');
    await changeOf(heard, '/project/before');
    await own.kill('SIGKILL');
    writeFileSync(join(project, 'meanwhile'), '2');
    rmSync(join(project, 'before'));
    await own.restart();
    await changeOf(heard, '/project/before', 'unlink');
    expect(heard.lines().toSorted()).toEqual(['add before', 'add meanwhile', 'unlink before']);
    expect([heard.gaps, heard.errors]).toEqual([[], []]);
    await sandbox.disconnect();
    await owned.destroy();
  });

  it('is told of the end, whoever caused it, and a retrieved watcher goes on from now', async () => {
    const { host, path, write } = folder('shared');
    const { sandbox } = scene;
    const first = await sandbox.watcher.create(path);
    const one = listen(first);
    write('early', '');
    await changeOf(one, `${path}/early`);
    const second = await sandbox.watcher.retrieve(first.id);
    expect((await sandbox.watcher.list()).map(({ id }) => id)).toContain(first.id);
    const two = listen(second);
    rmSync(join(host, 'early'));
    await changeOf(two, `${path}/early`);
    expect(two.lines()).toEqual(['unlink shared/early']);
    const ends: string[] = [];
    first.on('destroyed', ({ reason }) => ends.push(reason));
    second.on('destroyed', ({ reason }) => ends.push(reason));
    await sandbox.watcher.destroy(first.id);
    await sandbox.watcher.destroy(first.id);
    await until(() => ends.length === 2, { what: 'both ends' });
    expect(ends).toEqual(['destroyed', 'destroyed']);
    first.on('destroyed', ({ reason }) => ends.push(`late ${reason}`));
    await until(() => ends.length === 3, { what: 'the end, told late' });
    await expect(sandbox.watcher.retrieve(first.id)).rejects.toMatchObject({ code: 'destroyed' });
  });
});

describe('the death of an agent', () => {
  it('is an error and the end of its watchers, and others can be created', async () => {
    const { sandbox, owned, project } = await watchedSandbox(gateway);
    const watcher = await sandbox.watcher.create('/project');
    const { id } = watcher;
    const heard = listen(watcher);
    writeFileSync(join(project, 'before'), '');
    await changeOf(heard, '/project/before');
    const ends: string[] = [];
    watcher.on('destroyed', ({ reason }) => ends.push(reason));
    for (const pid of gateway.agentPids(owned.id)) process.kill(pid, 'SIGKILL');
    await until(() => ends.length > 0, { what: 'the end', withinMs: 30_000 });
    expect([heard.errors.map(({ code }) => code), ends]).toEqual([['lost'], ['lost']]);
    await expect(sandbox.watcher.retrieve(id)).rejects.toMatchObject({ code: 'lost' });
    const next = listen(await sandbox.watcher.create('/project'));
    rmSync(join(project, 'before'));
    await changeOf(next, '/project/before', 'unlink');
    await sandbox.disconnect();
    await owned.destroy();
  });
});

describe('what cannot be watched', () => {
  it('is refused with a code, the field and what to do', async () => {
    const { sandbox } = scene;
    const refusals: [string, Promise<unknown>][] = [
      ['not_found path', sandbox.watcher.create('/project/no/such/path')],
      ['invalid_argument path', sandbox.watcher.create('relative')],
      ['invalid_argument path', sandbox.watcher.create('/proc')],
      ['invalid_argument path', sandbox.watcher.create('/proc/self')],
      ['invalid_argument path', sandbox.watcher.create('/dev')],
      ['invalid_argument ignored', sandbox.watcher.create('/project', { ignored: ['!a'] })],
      ['invalid_argument ignored', sandbox.watcher.create('/project', { ignored: [''] })],
      ['invalid_argument maxContentBytes', sandbox.watcher.create('/', { maxContentBytes: 0 })],
      ['invalid_argument watcherId', sandbox.watcher.retrieve('watcher')],
      ['invalid_argument watcherId', sandbox.watcher.destroy('watcher')],
      ['canceled', sandbox.watcher.create('/project', { signal: AbortSignal.abort() })],
    ];
    const seen = await Promise.all(
      refusals.map(([, refusal]) =>
        refusal.then(
          () => '',
          (error: SandboxError) => [error.code, error.field].filter(Boolean).join(' '),
        ),
      ),
    );
    expect(seen).toEqual(refusals.map(([expected]) => expected));
  });

  it('is a 33rd watcher of a sandbox', async () => {
    const { path } = folder('many');
    const { sandbox } = scene;
    const others = (await sandbox.watcher.list()).length;
    const watchers = await Promise.all(
      Array.from({ length: 32 - others }, () => sandbox.watcher.create(path)),
    );
    await expect(sandbox.watcher.create(path)).rejects.toMatchObject({
      code: 'limit_reached',
      message: 'the limit of 32 watchers of a sandbox is reached',
    });
    await Promise.all(watchers.map((watcher) => watcher.destroy()));
    await (await sandbox.watcher.create(path)).destroy();
  });
});
