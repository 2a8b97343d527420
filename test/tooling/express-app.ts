import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { build } from 'esbuild';
import { nodePath } from '../support/paths.ts';
import { until } from '../support/until.ts';
import { expressProgram, idePage, projectPage } from './access-snippets.ts';
import type { PackedApp } from './packed-app.ts';

export type Invitation = { readonly email: string; readonly url: string };

/** The Express app of the guide with its pages, in a process of its own, on an origin of its own. */
export class ExpressApp implements AsyncDisposable {
  /** What its pages are opened at. */
  readonly origin: string;
  /** Every invitation that it sent, oldest first. */
  readonly invitations: readonly Invitation[];
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, origin: string, invitations: readonly Invitation[]) {
    this.#child = child;
    this.origin = origin;
    this.invitations = invitations;
  }

  /** Resolves when it listens. It serves nothing before {@link connect}. */
  static async start(app: PackedApp, apiKey: string): Promise<ExpressApp> {
    const express = createRequire(import.meta.url).resolve('express');
    const program = app.write('backend/app.mjs', expressProgram(express));
    await buildPages(app);
    const child = spawn(nodePath, [program], {
      cwd: app.directory,
      env: { PATH: process.env['PATH'] ?? '', COMPUTESDK_API_KEY: apiKey },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const [{ port }] = await once(child, 'message');
    const invitations: Invitation[] = [];
    child.on('message', (message: Invitation | { ready: true }) => {
      if ('email' in message) invitations.push(message);
    });
    return new ExpressApp(child, `http://localhost:${port}`, invitations);
  }

  /** Tells the app which gateway to use. Resolves when it serves. */
  async connect(gatewayUrl: string): Promise<void> {
    let isReady = false;
    this.#child.on('message', (message: object) => {
      isReady ||= 'ready' in message;
    });
    this.#child.send({ gatewayUrl });
    await until(() => isReady || this.#child.exitCode !== null, { what: 'the app to serve' });
  }

  /** Calls the app as its pages do. */
  async post(path: string, body: object = {}): Promise<Record<string, unknown>> {
    const response = await fetch(this.origin + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', connection: 'close' },
      body: JSON.stringify(body),
    });
    return await response.json();
  }

  async get(path: string): Promise<Record<string, unknown>> {
    const headers = { connection: 'close' };
    return await (await fetch(this.origin + path, { headers })).json();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill();
    await exited;
  }
}

async function buildPages(app: PackedApp): Promise<void> {
  const frontend = app.write('frontend/frontend.js', projectPage());
  const ide = app.write('frontend/ide.js', idePage());
  await build({
    entryPoints: [frontend, ide],
    outdir: `${app.directory}/backend`,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    target: 'es2022',
    logLevel: 'error',
  });
}
