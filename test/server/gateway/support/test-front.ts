import { onTestFinished } from 'vitest';
import { jsonLogger } from '../../../../server/core/log.ts';
import { createFront } from '../../../../server/gateway/front.ts';
import { ClientAddresses } from '../../../../server/gateway/http/client-address.ts';
import { createListener } from '../../../../server/gateway/http/listener.ts';
import type { HttpHandler } from '../../../../server/rpc/connect-node.ts';
import { testCore } from './test-core.ts';

export type TestFront = Awaited<ReturnType<typeof testFront>>;

/** Everything of a gateway but its agents, on a free port. */
export async function testFront(options: { readonly trustedProxies?: readonly string[] } = {}) {
  const core = await testCore();
  const stopping = new AbortController();
  const lines: string[] = [];
  let handler: HttpHandler = () => {};
  const listener = await createListener({
    hosts: ['127.0.0.1'],
    port: 0,
    handler: (request, response) => handler(request, response),
  });
  const url = `http://127.0.0.1:${listener.port}`;
  const front = createFront({
    ...core,
    addresses: {
      publicUrl: url,
      appOrigin: url,
      allowedOrigins: [url],
      allowedHosts: [],
      previewDomain: 'localhost',
    },
    clients: new ClientAddresses(options.trustedProxies ?? []),
    publicKeys: () => core.signer.publicKeys(),
    webFiles: undefined,
    logger: jsonLogger({ write: (line) => lines.push(line), now: () => 0, level: 'debug' }),
    stopping: stopping.signal,
  });
  handler = front.handler;
  onTestFinished(async () => {
    stopping.abort();
    await listener.close();
    front.close();
  });
  /** A call in Connect's JSON, as curl makes it. */
  const post = async (path: string, body: unknown, headers: Record<string, string> = {}) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });
    const json: Record<string, unknown> = JSON.parse((await response.text()) || '{}');
    return { status: response.status, json };
  };
  return { ...core, url, lines, post };
}
