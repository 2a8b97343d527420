import { once } from 'node:events';
import { connect } from 'node:http2';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { SANDBOX_ID, startGateway, TOKEN } from '../proxy/fixture.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('a call over HTTP/2 whose body does not arrive', () => {
  it.each([
    '/computesdk.v1.AuthService/WhoAmI',
    `/sandboxes/${SANDBOX_ID}/computesdk.v1.TerminalService/WriteTerminal`,
  ])('is reset after 15 seconds at %s', async (path) => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const gateway = await startGateway({ socketPath: '/nowhere' });
    const session = connect(gateway.url);
    const stream = session.request({
      ':method': 'POST',
      ':path': path,
      'content-type': 'application/json',
      authorization: `Bearer ${TOKEN}`,
    });
    stream.on('error', () => {});
    stream.write('{');
    // When this second call is answered, the server has seen the first.
    const second = session.request({ ':path': '/healthz' });
    await once(second.resume(), 'end');
    vi.advanceTimersByTime(12_999);
    await new Promise((resolve) => session.ping(resolve));
    expect(stream.closed).toBe(false);
    vi.advanceTimersByTime(1);
    await once(stream, 'close');
    expect(stream.rstCode).toBe(8);
    session.destroy();
    vi.useRealTimers();
    await gateway.close();
  });
});
