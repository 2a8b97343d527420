import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Code } from '@connectrpc/connect';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { WatcherChangeKind, WatcherEnd } from '../../../../gen/computesdk/v1/watcher_pb.ts';
import type { StreamWatcherResponse } from '../../../../gen/computesdk/v1/watcher_service_pb.ts';
import { newId } from '../../../../server/core/id.ts';
import { AgentProcess } from '../support/agent-process.ts';

type Event = StreamWatcherResponse['event'];
type Change = Extract<Event, { case: 'change' }>['value'];

const previousBootId = newId('bot');
let agent: AgentProcess;
let watchers: ReturnType<AgentProcess['watchers']>;

beforeAll(async () => {
  agent = await AgentProcess.start({ previousBootIds: [previousBootId] });
  watchers = agent.watchers();
});

afterAll(() => agent[Symbol.asyncDispose]());

/** Makes a directory of the project's. The API's `/project` is another directory for the agent. */
function folder(name: string): { path: string; write(file: string, content: string): void } {
  mkdirSync(join(agent.directory, name));
  return {
    path: `/project/${name}`,
    write: (file, content) => writeFileSync(join(agent.directory, name, file), content),
  };
}

async function create(request: Parameters<typeof watchers.createWatcher>[0]): Promise<string> {
  const { watcher } = await watchers.createWatcher(request);
  return watcher?.id ?? '';
}

/** The events from a position on, until `isEnough` or the end. */
async function read(
  request: Parameters<typeof watchers.streamWatcher>[0],
  isEnough: (events: readonly Event[]) => boolean,
): Promise<Event[]> {
  const events: Event[] = [];
  const stop = new AbortController();
  try {
    for await (const { event } of watchers.streamWatcher(request, { signal: stop.signal })) {
      if (event.case !== 'keepAlive') events.push(event);
      if (isEnough(events)) break;
    }
  } finally {
    stop.abort();
  }
  return events;
}

function changesOf(events: readonly Event[]): Change[] {
  return events.flatMap((event) => (event.case === 'change' ? [event.value] : []));
}

it('spells paths as the API does, and knows its own by both spellings of what is ignored', async () => {
  const { path, write } = folder('spelling');
  const watcherId = await create({ path: `${path}/`, ignored: [`${path}/left-out`, '*.tmp'] });
  write('left-out', '');
  write('a.tmp', '');
  write('kept', 'four');
  const events = await read({ watcherId, cursor: 0n }, (all) => changesOf(all).length === 1);
  expect(events[0]).toMatchObject({
    case: 'ready',
    value: { incarnation: agent.config.bootId, cursor: 0n },
  });
  expect(changesOf(events)).toMatchObject([
    {
      ...{ cursor: 0n, nextCursor: 1n, kind: WatcherChangeKind.ADD, path: `${path}/kept` },
      size: 4n,
    },
  ]);
  const { watcher } = await watchers.getWatcher({ watcherId });
  expect(watcher).toMatchObject({ path, ignored: [`${path}/left-out`, '*.tmp'], cursor: 1n });
  await watchers.destroyWatcher({ watcherId });
});

it('goes on where a reader was, and ends with the reason', async () => {
  const { path, write } = folder('resumed');
  const watcherId = await create({ path });
  write('first', '');
  const isOne = (events: readonly Event[]) => changesOf(events).length === 1;
  const first = await read({ watcherId }, isOne);
  const readerId = first[0]?.case === 'ready' ? first[0].value.readerId : '';
  rmSync(join(agent.directory, 'resumed', 'first'));
  const incarnation = agent.config.bootId;
  const second = await read({ watcherId, cursor: 1n, incarnation, readerId }, isOne);
  expect(second[0]).toMatchObject({ case: 'ready', value: { cursor: 1n, readerId } });
  expect(changesOf(second)).toMatchObject([{ kind: WatcherChangeKind.UNLINK, cursor: 1n }]);
  const rest = await read({ watcherId, cursor: 2n }, (events) => {
    if (events.length === 1) void watchers.destroyWatcher({ watcherId });
    return false;
  });
  expect(rest.at(-1)).toMatchObject({
    case: 'destroyed',
    value: { cursor: 2n, end: WatcherEnd.DESTROYED },
  });
});

it('sends long content in parts', async () => {
  const { path, write } = folder('long');
  const watcherId = await create({ path, includeContent: true });
  const content = 'x'.repeat(150_000);
  write('file', content);
  const sizeOf = (events: readonly Event[]) =>
    events.reduce((size, event) => {
      if (event.case === 'change') return size + (event.value.content?.length ?? 0);
      return event.case === 'content' ? size + event.value.data.length : size;
    }, 0);
  const events = await read({ watcherId }, (all) => sizeOf(all) >= content.length);
  const parts = events.slice(1).map((event) => event.case);
  expect(parts).toEqual(['change', 'content', 'content']);
  expect(changesOf(events)).toMatchObject([{ size: 150_000n, followingBytes: 88_560 }]);
  await watchers.destroyWatcher({ watcherId });
});

it('makes one watcher for one request id, however often it is asked', async () => {
  const { path } = folder('once');
  const request = { path, requestId: newId('key') };
  const ids = await Promise.all([create(request), create(request), create(request)]);
  expect(new Set(ids).size).toBe(1);
  const { watchers: listed } = await watchers.listWatchers({});
  expect(listed.filter((watcher) => watcher.path === path)).toHaveLength(1);
  await watchers.destroyWatcher({ watcherId: ids[0] ?? '' });
});

it('tells what is gone from what never was', async () => {
  const { path } = folder('gone');
  const watcherId = await create({ path });
  await watchers.destroyWatcher({ watcherId });
  await watchers.destroyWatcher({ watcherId });
  const lost = `wat${previousBootId.slice(3, 9)}${newId('wat').slice(9)}`;
  const codes = await Promise.all(
    [watcherId, lost, newId('wat'), 'watcher'].map((id) =>
      watchers.getWatcher({ watcherId: id }).then(
        () => 'found',
        (error) => Code[error.code],
      ),
    ),
  );
  expect(codes).toEqual(['NotFound', 'DataLoss', 'NotFound', 'InvalidArgument']);
});
