import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { scaled, seed } from '../support/scale.ts';
import { settle } from './support/fake-clock.ts';
import { FakeGateway } from './support/fake-gateway.ts';
import type { UnaryFate } from './support/faulty-network.ts';

/** One thing that happens to a client and its network. */
type Step =
  | { readonly do: 'type'; readonly length: number }
  | { readonly do: 'print'; readonly length: number }
  | { readonly do: 'cut' }
  | { readonly do: 'down' }
  | { readonly do: 'up' }
  | { readonly do: 'fates'; readonly fates: readonly UnaryFate[] }
  | { readonly do: 'overlap'; readonly bytes: number }
  | { readonly do: 'wait'; readonly ms: number };

const fates = fc.array(
  fc.constantFrom<UnaryFate>('pass', 'lose_request', 'lose_response', 'duplicate', 'black_hole'),
  { minLength: 1, maxLength: 7 },
);
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('type' as const), length: fc.integer({ min: 1, max: 40 }) }),
  fc.record({ do: fc.constant('print' as const), length: fc.integer({ min: 1, max: 5_000 }) }),
  fc.record({ do: fc.constant('cut' as const) }),
  fc.record({ do: fc.constant('down' as const) }),
  fc.record({ do: fc.constant('up' as const) }),
  fc.record({ do: fc.constant('fates' as const), fates }),
  fc.record({ do: fc.constant('overlap' as const), bytes: fc.integer({ min: 0, max: 3_000 }) }),
  fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 20_000 }) }),
);

type Outcome = {
  readonly typed: string;
  readonly applied: string;
  readonly printed: string;
  readonly shown: string;
  readonly problems: readonly string[];
  readonly duplicates: number;
};

async function play(
  steps: readonly Step[],
  mutate: (gateway: FakeGateway) => void = () => {},
): Promise<Outcome> {
  const gateway = new FakeGateway();
  const { clock, network } = gateway;
  const sandbox = await gateway.connect();
  const terminal = await sandbox.terminal.create();
  mutate(gateway);
  const fake = gateway.lastTerminal;
  const problems: string[] = [];
  const writes: Promise<void>[] = [];
  let [typed, printed, shown] = ['', '', ''];
  terminal.on('output', (text) => {
    shown += text;
  });
  terminal.on('gap', ({ from, to }) => problems.push(`gap ${from}-${to}`));
  terminal.on('error', ({ code }) => problems.push(code));
  for (const [index, event] of steps.entries()) {
    switch (event.do) {
      case 'type':
        typed += text(index, event.length);
        writes.push(terminal.write(text(index, event.length)));
        break;
      case 'print':
        printed += text(index, event.length);
        fake.print(text(index, event.length));
        break;
      case 'cut':
        network.cutStreams();
        break;
      case 'down':
        network.isDown = true;
        network.cutStreams();
        break;
      case 'up':
        network.isDown = false;
        break;
      case 'fates': {
        let call = 0;
        network.unaryFate = () => event.fates[call++ % event.fates.length] ?? 'pass';
        break;
      }
      case 'overlap':
        fake.overlapBytes = event.bytes;
        break;
      case 'wait':
        await clock.advance(event.ms);
        break;
    }
    await settle();
  }
  network.isDown = false;
  network.unaryFate = () => 'pass';
  await clock.advance(120_000);
  await Promise.all(writes);
  await sandbox.disconnect();
  const { typedText: applied, duplicates } = fake;
  return { typed, applied, printed, shown, problems, duplicates };
}

/** Text that tells its step, so that a repetition or a hole shows. */
function text(index: number, length: number): string {
  return `<${index}:`.padEnd(length, String.fromCharCode(97 + (index % 26)));
}

/** A plain history in which answers are lost and output is repeated. */
const LOSSY: readonly Step[] = [
  { do: 'fates', fates: ['lose_response', 'pass', 'duplicate'] },
  { do: 'overlap', bytes: 500 },
  ...Array.from({ length: 20 }, (): Step => ({ do: 'type', length: 9 })),
  { do: 'print', length: 4_000 },
  { do: 'wait', ms: 3_000 },
  { do: 'cut' },
  { do: 'wait', ms: 3_000 },
  { do: 'print', length: 400 },
];

describe(`a client on a bad network (seed ${seed})`, () => {
  it('applies every input once and in order and shows every byte once and in order', async () => {
    const property = fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const { typed, applied, printed, shown, problems } = await play(steps);
      expect(applied).toBe(typed);
      expect(shown).toBe(printed);
      expect(problems).toEqual([]);
    });
    await fc.assert(property, { seed, numRuns: scaled(1_000) });
  });

  it('repeats input whose answer was lost, and the server drops the repetition', async () => {
    const { typed, applied, shown, printed, duplicates } = await play(LOSSY);
    expect(duplicates).toBeGreaterThan(0);
    expect([applied, shown]).toEqual([typed, printed]);
  });

  it('shows a server that does not drop repetitions', async () => {
    const { typed, applied } = await play(LOSSY, (gateway) => {
      gateway.lastTerminal.appliesDuplicates = true;
    });
    expect(applied).not.toBe(typed);
  });
});
