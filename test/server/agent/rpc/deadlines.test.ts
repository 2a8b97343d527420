import { afterAll, beforeAll, expect, it } from 'vitest';
import { AgentProcess } from '../support/agent-process.ts';
import { refusalOf } from '../support/remote-terminal.ts';

/** Said to the agent alone: a client with a deadline of its own would see no other end. */
const DEADLINE = { headers: { 'connect-timeout-ms': '200' } };

let agent: AgentProcess;

beforeAll(async () => {
  agent = await AgentProcess.start();
});
afterAll(() => agent[Symbol.asyncDispose]());

const streams: [string, () => Promise<AsyncIterable<unknown>>][] = [
  [
    'AttachTerminal',
    async () => {
      const terminals = agent.terminals();
      const { terminal } = await terminals.createTerminal({ shell: '/bin/cat' });
      return terminals.attachTerminal({ terminalId: terminal?.id ?? '' }, DEADLINE);
    },
  ],
  [
    'StreamWatcher',
    async () => {
      const watchers = agent.watchers();
      const { watcher } = await watchers.createWatcher({ path: '/project' });
      return watchers.streamWatcher({ watcherId: watcher?.id ?? '' }, DEADLINE);
    },
  ],
  ['StreamSignals', async () => agent.signals().streamSignals({}, DEADLINE)],
];

it.each(streams)(
  '%s that meets its deadline says so, and does not just end',
  async (_name, open) => {
    const read = async () => {
      for await (const _ of await open());
    };
    expect(await refusalOf(read())).toContain('DeadlineExceeded');
  },
);
