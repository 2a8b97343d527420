import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { build } from 'esbuild';
import type * as client from '../../client/index.ts';
import { repositoryRoot } from './paths.ts';

declare global {
  /** The browser SDK, in a page of {@link servePage}. */
  var computesdk: typeof client;
}

/** An empty page on an origin of its own, with the browser SDK as the global `computesdk`. */
export async function servePage(): Promise<{ readonly url: string } & AsyncDisposable> {
  const bundle = await build({
    entryPoints: [join(repositoryRoot, 'client', 'index.ts')],
    bundle: true,
    format: 'iife',
    globalName: 'computesdk',
    platform: 'browser',
    target: 'es2022',
    write: false,
    logLevel: 'silent',
  });
  const script = bundle.outputFiles[0]?.text ?? '';
  const server = createServer((request, response) => {
    const isScript = request.url === '/client.js';
    response.setHeader('content-type', isScript ? 'text/javascript' : 'text/html');
    response.end(
      isScript ? script : '<!doctype html><title>app</title><script src="/client.js"></script>',
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  // A listening TCP server's address is an object.
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://localhost:${port}/`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
