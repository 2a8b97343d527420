import { Code } from '@connectrpc/connect';
import { expect, it } from 'vitest';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import { refusal } from './support/fake-terminal.ts';

it.each([
  ['is told of a terminal that somebody else destroyed while it was cut', false, ['not_found']],
  ['is not told of one that it destroyed itself', true, []],
])('a listener %s', async (_what, destroys, told) => {
  const gateway = new FakeGateway();
  const sandbox = await gateway.connect();
  const terminal = await sandbox.terminal.create();
  const errors: string[] = [];
  terminal.on('error', ({ code }) => errors.push(code));
  terminal.on('output', () => {});
  await gateway.clock.advance(0);
  gateway.lastTerminal.failure = refusal(Code.NotFound, ErrorReason.NOT_FOUND);
  const destroyed = destroys ? terminal.destroy() : undefined;
  gateway.network.cutStreams();
  await settle();
  await destroyed;
  expect(errors).toEqual(told);
  await sandbox.disconnect();
});
