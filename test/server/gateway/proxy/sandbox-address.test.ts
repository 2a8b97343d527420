import { describe, expect, it } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { parseSandboxAddress } from '../../../../server/gateway/proxy/sandbox-address.ts';

const ID = newId('sbx');
const parse = (target: string) => parseSandboxAddress(target, '/sandboxes/');

describe('parseSandboxAddress', () => {
  it('takes a target apart', () => {
    expect(parse(`/sandboxes/${ID}/a.B/C?connect=v1&encoding=json&message=%7B%7D`)).toEqual({
      sandboxId: ID,
      path: '/a.B/C',
      query: '?connect=v1&encoding=json&message=%7B%7D',
    });
    expect(parse(`/sandboxes/${ID}`)).toEqual({ sandboxId: ID, path: '', query: '' });
  });

  it('drops parameters that no call has, tokens among them', () => {
    const { query } = parse(
      `/sandboxes/${ID}/a.B/C?token=secret&encoding=json&access_token=x&connect`,
    );
    expect(query).toBe('?encoding=json');
  });

  it.each(['', 'x', ID.slice(1), `${ID}0`, ID.toUpperCase(), `${ID}%00`, '..', `${newId('tok')}`])(
    'refuses the malformed id "%s"',
    (id) => {
      expect(() => parse(`/sandboxes/${id}/a.B/C`)).toThrow('sandboxId:');
    },
  );
});
