import { expect, it } from 'vitest';
import { SandboxError, type SandboxErrorCode } from '../../client/errors.ts';
import { connectionWords, countdownText } from '../../web/connection-words.ts';
import { endWords, exitWords, gapWords, problemWords } from '../../web/terminal-words.ts';

const error = (code: SandboxErrorCode, message = 'the message') => new SandboxError(code, message);

it('says nothing while all is well', () => {
  expect(connectionWords({ state: 'connected' })).toBeUndefined();
});

it('says when the next attempt comes, and that input is not lost', () => {
  const words = connectionWords({ state: 'reconnecting', attempt: 3, inMs: 2_400 });
  expect(words).toMatchObject({ isClosed: false, mayRetry: false, inMs: 2_400 });
  expect(words?.text).toContain('What you type is kept');
  expect([2_400, 1_000, 1, 0, -5].map(countdownText)).toEqual([
    'Reconnecting in 3 s',
    'Reconnecting in 1 s',
    'Reconnecting in 1 s',
    'Reconnecting…',
    'Reconnecting…',
  ]);
});

it.each([
  ['disconnected', 'You are signed out', false],
  ['revoked', 'taken back', false],
  ['expired', 'has expired', false],
  ['unauthenticated', 'not signed in', false],
  ['permission_denied', 'no access', false],
  ['not_found', 'no access', false],
  ['destroyed', 'was destroyed', false],
  ['origin_not_allowed', 'takes no calls from this address', false],
  ['unreachable', 'does not answer', true],
  ['deadline_exceeded', 'deadline exceeded', true],
] as const)('says why a connection is closed for good: %s', (reason, part, mayRetry) => {
  const words = connectionWords({ state: 'closed', reason });
  expect(words).toMatchObject({ isClosed: true, mayRetry });
  expect(words?.text).toContain(part);
  expect(words?.text).not.toContain('_');
});

it('never calls an unknown exit code 0', () => {
  expect(exitWords({ exitCode: 0, signal: undefined })).toContain('exit code 0');
  expect(exitWords({ exitCode: 7, signal: undefined })).toContain('exit code 7');
  expect(exitWords({ exitCode: undefined, signal: 'SIGKILL' })).toContain('SIGKILL');
  expect(exitWords({ exitCode: undefined, signal: undefined })).toContain('is not known');
});

it('tells the end of a terminal from a problem with its input', () => {
  expect(endWords(error('lost'))).toContain('files are still there');
  expect(endWords(error('not_found'))).toContain('closed elsewhere');
  expect(endWords(error('queue_full'))).toBeUndefined();
  expect(problemWords(error('queue_full'))).toContain('Nothing of what you typed');
  expect(problemWords(error('too_large'))).toContain('Nothing of it was sent');
  expect(problemWords(error('outcome_unknown'))).toContain('not known');
  expect(problemWords(error('internal', 'a reason'))).toContain('a reason');
  // The connection's banner says these.
  expect(problemWords(error('access_ended'))).toBeUndefined();
});

it('counts what is missing', () => {
  expect(gapWords({ from: 1_000, to: 2_501_000, reason: 'slow_reader' })).toBe(
    '2,500,000 bytes of output are missing here: slow reader',
  );
});
