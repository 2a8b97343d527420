import { expect, test } from 'vitest';
import { DomainError } from '../../../../server/core/domain-error.ts';
import { checkRedirectUrl } from '../../../../server/gateway/auth/redirect-url.ts';
import {
  problemWithLocation,
  randomRedirect,
  redirectVectors,
} from '../../../support/redirect-vectors.ts';
import { report } from '../../../support/report.ts';
import { scaled, seed, seededRandom } from '../../../support/scale.ts';

const PAGE = `https://gateway.example.com/magic/${'s'.repeat(43)}`;
const APP = 'https://app.example.com';
const ORIGINS = {
  publicUrl: 'https://box.example.com',
  appOrigin: APP,
  allowedOrigins: ['https://second.example.com:8443', 'http://localhost:3000'],
};
const ALLOWED = [APP, ORIGINS.publicUrl, ...ORIGINS.allowedOrigins];

/** Where a text leads: undefined if it was refused, as it must be refused. */
function locationOf(text: string): string | undefined {
  try {
    return checkRedirectUrl(text, ORIGINS);
  } catch (error) {
    const isRefusal = error instanceof DomainError && error.reason === 'INVALID_ARGUMENT';
    if (isRefusal && error.field === 'redirectUrl') return undefined;
    throw error;
  }
}

/** What is wrong with what came of the texts, and how many were accepted. */
function tryAll(texts: Iterable<string>): { wrong: string[]; accepted: number } {
  const wrong: string[] = [];
  let accepted = 0;
  for (const text of texts) {
    const location = locationOf(text);
    if (location === undefined) continue;
    accepted += 1;
    const problem = problemWithLocation(location, { page: PAGE, origins: ALLOWED });
    if (problem) wrong.push(`${JSON.stringify(text)} -> ${location} ${problem}`);
  }
  return { wrong, accepted };
}

test('no address that is meant to lead elsewhere does', () => {
  const vectors = [APP, 'http://localhost:3000'].flatMap(redirectVectors);
  const { wrong, accepted } = tryAll(vectors);
  expect(wrong).toEqual([]);
  expect(vectors.length).toBeGreaterThan(600);
  expect(accepted).toBeGreaterThan(30);
});

test.each([
  ['', `${APP}/workspace`],
  ['/project/7?a=b#c', `${APP}/project/7?a=b#c`],
  ['/../a//b', `${APP}/a//b`],
  ['/.//evil.example', `${APP}//evil.example`],
  ['/caf\u00e9', `${APP}/caf%C3%A9`],
  ['/a|b?c|d', `${APP}/a%7Cb?c|d`],
  [`${APP}:443/x`, `${APP}/x`],
  ['https://second.example.com:8443', 'https://second.example.com:8443/'],
  ['http://localhost:3000/x', 'http://localhost:3000/x'],
])('%j leads to %s', (text, location) => {
  expect(checkRedirectUrl(text, ORIGINS)).toBe(location);
});

test('a refusal names the origin, but repeats no secret that stands in it', () => {
  const refusalOf = (text: string) => () => checkRedirectUrl(text, ORIGINS);
  expect(refusalOf('https://Evil.example:8443/x')).toThrow('leads to https://evil.example:8443,');
  const secret = 'aFevAm_I1TCcLjfbkz17l43eoysjtrU6r-p3MAKR_48';
  // In a host name, letters become small ones.
  expect(refusalOf(`https://${secret}.example`)).toThrow('leads to https://[redacted].example,');
});

test('no text of dangerous pieces leads out of the allowed origins', () => {
  const count = scaled(100_000);
  const random = seededRandom(seed);
  const texts = Array.from({ length: count }, () => randomRedirect(random, APP));
  const { wrong, accepted } = tryAll(texts);
  expect(wrong.slice(0, 10)).toEqual([]);
  // Both outcomes must be tried often enough for the test to mean something.
  expect(accepted).toBeGreaterThan(count / 20);
  expect(accepted).toBeLessThan(count);
  report({ test: 'generated redirects', count, figures: { accepted, 'lead out': wrong.length } });
});
