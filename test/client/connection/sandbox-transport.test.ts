import { createClient } from '@connectrpc/connect';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { systemClock } from '../../../client/connection/clock.ts';
import { cookieCredential } from '../../../client/connection/credential.ts';
import { SandboxTransport } from '../../../client/connection/sandbox-transport.ts';
import { CONNECTION_STREAM, encodeFrame } from '../../../frames/frame.ts';
import { EveryKind } from '../../support/frame-pair.ts';
import { until } from '../../support/until.ts';

/** A WebSocket to a gateway that welcomes everybody and answers no call. */
class CuttableWebSocket {
  static readonly made: CuttableWebSocket[] = [];
  onopen: (() => void) | undefined;
  onmessage: ((event: { readonly data: ArrayBuffer }) => void) | undefined;
  onclose: ((event: { readonly code: number }) => void) | undefined;
  isWelcomed = false;

  constructor() {
    CuttableWebSocket.made.push(this);
    const welcome = encodeFrame(CONNECTION_STREAM, { case: 'welcome', value: {} });
    queueMicrotask(() => {
      this.onopen?.();
      this.onmessage?.({ data: welcome.buffer });
      this.isWelcomed = true;
    });
  }

  send(): void {}

  close(): void {}

  cut(): void {
    this.onclose?.({ code: 1006 });
  }
}

let transport: SandboxTransport;

beforeEach(() => {
  vi.stubGlobal('WebSocket', CuttableWebSocket);
  transport = new SandboxTransport({
    ...{ baseUrl: 'http://localhost:1', credential: cookieCredential, clock: systemClock },
    ...{ onNotice: () => {}, onLateStream: () => {} },
  });
});
afterEach(() => {
  transport.close();
  vi.unstubAllGlobals();
});

/** Makes a call and waits until its WebSocket is open. Gives how to cut that, or to give the call up. */
async function openCall() {
  const controller = new AbortController();
  const call = createClient(EveryKind, transport).one({}, { signal: controller.signal });
  const outcome = call.then(
    () => 'answered',
    () => 'failed',
  );
  await until(() => CuttableWebSocket.made.at(-1)?.isWelcomed === true, { what: 'a WebSocket' });
  const end = async (how: () => void) => {
    how();
    expect(await outcome).toBe('failed');
  };
  const webSocket = CuttableWebSocket.made.at(-1);
  return {
    cut: () => end(() => webSocket?.cut()),
    giveUp: () => end(() => controller.abort()),
  };
}

it('leaves WebSockets that are cut three times, even if one between was replaced', async () => {
  await (await openCall()).cut();
  await (await openCall()).cut();
  const replaced = await openCall();
  transport.renew();
  await replaced.giveUp();
  const last = await openCall();
  expect(transport.isDuplex).toBe(true);
  await last.cut();
  expect(transport.isDuplex).toBe(false);
});
