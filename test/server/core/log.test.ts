import { ConnectError } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { jsonLogger } from '../../../server/core/log.ts';

const TOKEN = `eyJhbGciOiJFZERTQSJ9.${'p'.repeat(40)}.${'s'.repeat(86)}`;
const KEY = 'csk_abcdefghijklmnopqrstuvwxyz0123456789';

function written(fields: Readonly<Record<string, unknown>>, message = 'call'): string {
  let text = '';
  const write = (line: string) => {
    text += line;
  };
  jsonLogger({ write, now: () => 0, level: 'info' }).error(message, fields);
  return text;
}

describe('a log line', () => {
  it.each([
    ['a message', new Error(`bad header: Authorization: Bearer ${KEY}`)],
    ['another scheme of spelling', new Error(`authorization: bearer   ${KEY}`)],
    ['a token alone', new Error(`cannot parse ${TOKEN}`)],
    ['a cause', new Error('outer', { cause: new Error(`inner ${TOKEN}`) })],
    ['a cause that is an object', new Error('x', { cause: { headers: { authorization: KEY } } })],
    ['a cause that is a text', new Error('x', { cause: `Bearer ${KEY}` })],
    ['a cookie', new Error(`Cookie: __Host-computesdk=${KEY}; a=b`)],
    ['a cookie in a list', new Error(`a=b; __Host-computesdk=${KEY}`)],
    ['a set cookie', { 'set-cookie': [`x=${KEY}`] }],
    ['a link', new Error(`GET /magic/${KEY.slice(4)} failed`)],
    ['an address', new Error(`GET /x?access_token=${KEY.slice(4)}&y=1 failed`)],
    ['raw headers', { headers: { Authorization: KEY, 'X-Api-Key': 'x', api_key: KEY } }],
    ['an error of Connect', new ConnectError(`received Bearer ${KEY}`)],
    ['many', new AggregateError([new Error(TOKEN)], `Bearer ${KEY}`)],
  ])('holds no credential that came with %s', (_what, error) => {
    const line = written({ error });
    for (const secret of [TOKEN, KEY, KEY.slice(4)]) expect(line).not.toContain(secret);
    expect(line).toContain('redacted');
    expect(() => JSON.parse(line)).not.toThrow();
  });

  it('keeps what is no secret: ids, methods, sentences', () => {
    const fields = { principal: 'tok01', method: 'a.v1.B/C', code: 'ok', sandboxId: 'sbx01' };
    expect(JSON.parse(written(fields))).toMatchObject(fields);
    const error = new Error('the token is not valid; ask? yes & no');
    expect(JSON.parse(written({ error })).error.message).toBe(error.message);
  });

  it('survives causes without end and values that refer to themselves', () => {
    const error = new Error('x');
    error.cause = error;
    expect(written({ error }).length).toBeLessThan(50_000);
    const own: Record<string, unknown> = {};
    own['own'] = own;
    expect(JSON.parse(written({ own }))).toMatchObject({ message: 'call', level: 'error' });
  });

  it('is one line of bounded length, whatever its texts hold', () => {
    const line = written({ error: new Error('\r\n\u001b[31m'.repeat(100_000)) });
    expect(line.length).toBeLessThan(150_000);
    for (const character of ['\r', '\n', '\u001b']) {
      expect(line.trimEnd()).not.toContain(character);
    }
  });
});
