import { connect } from 'node:net';
import { expect } from 'vitest';

/** The answer to a request, as text. */
export type RawAnswer = { readonly status: number; readonly text: string };

/** Sends bytes as they are, which no HTTP client would, and returns the first answer. */
export async function sendRaw(port: number, request: string): Promise<RawAnswer> {
  const socket = connect({ port, host: '127.0.0.1' });
  let text = '';
  try {
    await new Promise<void>((resolve, reject) => {
      socket.setTimeout(5_000, () => reject(new Error(`no end of the answer: ${text}`)));
      socket.on('data', (bytes) => {
        text += bytes.toString('latin1');
      });
      socket.on('close', () => resolve()).on('error', reject);
      socket.write(request, 'latin1');
    });
  } finally {
    socket.destroy();
  }
  return { status: Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0), text };
}

/** An RPC's answer in JSON, with the code and message of an error. */
export type JsonAnswer = {
  readonly status: number;
  readonly code: string | undefined;
  readonly message: string;
  readonly body: Record<string, unknown>;
};

/** Calls an RPC with a JSON body, as `curl` does. The body may be anything. */
export async function postJson(
  url: string,
  body: string | Uint8Array<ArrayBuffer> | object,
  headers: Readonly<Record<string, string>> = {},
): Promise<JsonAnswer> {
  const isRaw = typeof body === 'string' || body instanceof Uint8Array;
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: isRaw ? body : JSON.stringify(body),
  });
  const text = await response.text();
  let answer: Record<string, unknown> = {};
  try {
    // Our services answer with objects; anything else shows as an empty one.
    answer = JSON.parse(text) as Record<string, unknown>;
  } catch {
    answer = { message: text };
  }
  const code = typeof answer['code'] === 'string' ? answer['code'] : undefined;
  return { status: response.status, code, message: String(answer['message'] ?? ''), body: answer };
}

/** As {@link postJson}, with a bearer credential. */
export function postAs(credential: string, url: string, body: object): Promise<JsonAnswer> {
  return postJson(url, body, { authorization: `Bearer ${credential}` });
}

/** Requires a certain refusal, with a message that says this. */
export function expectRefusal(
  answer: JsonAnswer,
  refusal: readonly [status: number, code: string],
  message: RegExp,
): void {
  const { status, code } = answer;
  expect({ status, code, message: answer.message }).toEqual({
    status: refusal[0],
    code: refusal[1],
    message: expect.stringMatching(message),
  });
}
