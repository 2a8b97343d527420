import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { compute } from '../../client/compute.ts';
import {
  Sandbox,
  type SandboxError,
  type Watcher,
  type WatcherChange,
  type WatcherGap,
} from '../../client/index.ts';
import type { TestGateway } from './gateway.ts';
import { until } from './until.ts';

/** What a watcher told its listeners. */
export type Heard = {
  readonly changes: WatcherChange[];
  readonly gaps: WatcherGap[];
  readonly errors: SandboxError[];
  /** Each change as `<event> <path below /project>`, in order. */
  lines(): string[];
};

/** A sandbox, a client of it, and where its files are for this process. */
export async function watchedSandbox(gateway: TestGateway) {
  const owned = await compute({
    apiKey: gateway.apiKey,
    gatewayUrl: gateway.url,
  }).sandbox.create();
  const { token } = await owned.sessionToken.create();
  const sandbox = await Sandbox.connect({ url: owned.url, token });
  // The box makes it when its agent starts.
  await sandbox.watcher.list();
  const project = join(gateway.dataDirectory, 'sandboxes', owned.id, 'project');
  mkdirSync(project, { recursive: true });
  return { owned, sandbox, token, project };
}

/** Listens to everything that a watcher tells. */
export function listen(watcher: Watcher): Heard {
  const heard: Heard = {
    changes: [],
    gaps: [],
    errors: [],
    lines: () =>
      heard.changes.map(({ event, path }) => `${event} ${path.replace('/project/', '')}`),
  };
  watcher.on('change', (change) => heard.changes.push(change));
  watcher.on('gap', (gap) => heard.gaps.push(gap));
  watcher.on('error', (error) => heard.errors.push(error));
  return heard;
}

/** Resolves with the first change of a path that there is, or will be. */
export function changeOf(heard: Heard, path: string, event?: string): Promise<WatcherChange> {
  return until(
    () =>
      heard.changes.find(
        (change) => change.path === path && (event === undefined || change.event === event),
      ),
    { what: `${event ?? 'a change'} of ${path}` },
  );
}
