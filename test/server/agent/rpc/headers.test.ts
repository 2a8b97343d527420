import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Headers as AgentHeaders } from '../../../../server/agent/rpc/headers.ts';
import { seed } from '../../../support/scale.ts';
import { timeBound } from '../../../support/time-bound.ts';

/**
 * A few of each, so that names meet again and values go wrong. Not `cookie`, which Node.js joins by
 * semicolons, against the standard.
 */
const name = fc.oneof(
  fc.constantFrom('a', 'A', 'X-Long', 'x-long', 'set-cookie', 'Set-Cookie', '__proto__', 'accept'),
  fc.constantFrom('', ' a', 'a:', 'ä', 'a\n', 'a b', '"'),
);
const value = fc.oneof(
  fc.constantFrom('', '1', ' 1\t', '\r\n1 2 ', 'a, b', 'ÿ', '\x7f'),
  fc.constantFrom('1\n2', '\0', 'Ā', '1\r', '\v1'),
);
const step = fc.oneof(
  fc.tuple(fc.constantFrom('append' as const, 'set' as const), name, value),
  fc.tuple(fc.constantFrom('delete' as const, 'get' as const, 'has' as const), name),
  fc.tuple(fc.constant('getSetCookie' as const)),
  fc.tuple(fc.constantFrom('keys' as const, 'values' as const, 'entries' as const)),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Either = Headers | AgentHeaders;

/** What a step answers: its value, or the kind of its error. */
function take(headers: Either, [method, ...rest]: Step): unknown {
  try {
    const answer: unknown = Reflect.apply(headers[method], headers, rest);
    return typeof answer === 'object' && answer !== null && !Array.isArray(answer)
      ? [...(answer as Iterable<unknown>)]
      : answer;
  } catch (error) {
    return error instanceof TypeError ? 'TypeError' : error;
  }
}

function make(kind: (init?: never) => Either, init: unknown): Either | string {
  try {
    return Reflect.construct(kind, init === undefined ? [] : [init]);
  } catch (error) {
    return error instanceof TypeError ? 'TypeError' : String(error);
  }
}

function told(headers: Either): unknown {
  const visited: unknown[] = [];
  headers.forEach((text, key) => {
    visited.push([key, text]);
  });
  return { all: [...headers], visited, cookies: headers.getSetCookie() };
}

describe('headers of the agent', () => {
  it('do whatever is done to them as those of Node.js do', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 12 }), (steps) => {
        const ours = new AgentHeaders();
        const theirs = new Headers();
        for (const one of steps) expect(take(ours, one)).toEqual(take(theirs, one));
        expect(told(ours)).toEqual(told(theirs));
        expect(told(new AgentHeaders(ours))).toEqual(told(new Headers(theirs)));
      }),
      { seed, numRuns: 2_000 },
    );
  });

  it('are made from what those of Node.js are made from', () => {
    const inits = fc.oneof(
      fc.array(fc.tuple(name, value), { maxLength: 4 }),
      fc.array(fc.array(fc.constantFrom('a', 'b'), { maxLength: 3 }), { maxLength: 2 }),
      // Those of Node.js lose this name of a record.
      fc.dictionary(
        name.filter((text) => text !== '__proto__'),
        value,
        { maxKeys: 4 },
      ),
      fc.constantFrom(
        undefined,
        null,
        1,
        'text',
        true,
        new Map([['a', 'b']]),
        new Headers({ a: 'b' }),
      ),
    );
    fc.assert(
      fc.property(inits, (init) => {
        const ours = make(AgentHeaders as never, init);
        const theirs = make(Headers as never, init);
        if (typeof ours === 'string' || typeof theirs === 'string') expect(ours).toBe(theirs);
        else expect(told(ours)).toEqual(told(theirs));
      }),
      { seed, numRuns: 2_000 },
    );
  });

  it('take a value of many blanks in a time that grows with it, not with its square', async () => {
    const blanks = ' '.repeat(100_000);
    const startedAt = performance.now();
    expect(new AgentHeaders({ a: `1${blanks}2${blanks}` }).get('a')).toHaveLength(100_002);
    const tookMs = performance.now() - startedAt;
    // By an expression it takes many seconds.
    expect(tookMs).toBeLessThan(await timeBound(100));
  });
});
