import { type Agent, request } from 'node:http';
import type { ClientHttp2Session } from 'node:http2';
import { Code } from '@connectrpc/connect';

/** The protocols, by how a message travels. */
export type RawProtocol = 'connect-unary' | 'connect-stream' | 'grpc' | 'grpc-web';

export const RAW_PROTOCOLS: readonly RawProtocol[] = [
  'connect-unary',
  'connect-stream',
  'grpc',
  'grpc-web',
];

/** A request that no client library would make. */
export type RawCall = {
  readonly method?: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
};

/** What came back. The code is Connect's name of it, whatever the protocol; `cut` when no answer came. */
export type RawResult = { readonly status: number; readonly code: string; readonly text: string };

/** No answer came. */
export const CUT: RawResult = { status: 0, code: 'cut', text: '' };

/** The content type of binary messages. */
export function contentTypeOf(protocol: RawProtocol): string {
  switch (protocol) {
    case 'connect-unary':
      return 'application/proto';
    case 'connect-stream':
      return 'application/connect+proto';
    case 'grpc':
      return 'application/grpc+proto';
    case 'grpc-web':
      return 'application/grpc-web+proto';
  }
}

/** The name of the header that says how messages are compressed. */
export function encodingHeaderOf(protocol: RawProtocol): string {
  switch (protocol) {
    case 'connect-unary':
      return 'content-encoding';
    case 'connect-stream':
      return 'connect-content-encoding';
    case 'grpc':
    case 'grpc-web':
      return 'grpc-encoding';
  }
}

/** One envelope. `length` may lie. */
export function envelope(data: Uint8Array, flags = 0, length = data.length): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flags;
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, data]);
}

/** Sends a call over HTTP/1.1. Resolves however it ends. */
export function sendHttp1(url: string, call: RawCall, agent: Agent | false): Promise<RawResult> {
  return new Promise((resolve) => {
    const { method = 'POST', path, headers, body } = call;
    const length = { 'content-length': String(body.length) };
    const options = { method, path, headers: { ...length, ...headers }, agent };
    const sent = request(url, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk));
      answer.on('error', () => {});
      answer.on('close', () => {
        const fields = { ...answer.headers, ...answer.trailers };
        resolve(resultOf(answer.statusCode ?? 0, fields, Buffer.concat(chunks)));
      });
    });
    // After an answer its own end counts.
    sent.on('error', () => resolve(CUT));
    sent.end(body);
  });
}

/** Sends a call over HTTP/2. Resolves however it ends. */
export function sendHttp2(session: ClientHttp2Session, call: RawCall): Promise<RawResult> {
  return new Promise((resolve) => {
    const { method = 'POST', path, headers, body } = call;
    if (session.destroyed || session.closed) {
      resolve(CUT);
      return;
    }
    const stream = session.request({ ':method': method, ':path': path, ...headers });
    const chunks: Buffer[] = [];
    let fields: Record<string, unknown> = {};
    stream.on('response', (response) => {
      fields = { ...response };
    });
    stream.on('trailers', (trailers) => {
      fields = { ...fields, ...trailers };
    });
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('error', () => {});
    stream.on('close', () => {
      const status = Number(fields[':status'] ?? 0);
      resolve(status === 0 ? CUT : resultOf(status, fields, Buffer.concat(chunks)));
    });
    stream.end(body);
  });
}

function resultOf(
  status: number,
  fields: Readonly<Record<string, unknown>>,
  body: Buffer,
): RawResult {
  const text = body.toString('latin1');
  const inFields = fields['grpc-status'];
  const inBody = /grpc-status: ?(\d+)/.exec(text)?.[1];
  const grpc = inFields ?? inBody;
  if (typeof grpc === 'string') return { status, code: codeName(Number(grpc)), text };
  const code = /"code":"([a-z_]+)"/.exec(text)?.[1];
  return { status, code: code ?? (status < 400 ? 'ok' : 'none'), text };
}

/** Connect's name of a code of gRPC. */
export function codeName(code: number): string {
  const name = Code[code];
  if (name === undefined) return code === 0 ? 'ok' : `code ${code}`;
  return name.replace(/[a-z](?=[A-Z])/g, '$&_').toLowerCase();
}
