import { expect, it } from 'vitest';
import { EventLog } from '../../../server/core/event-log.ts';

it('holds the last events, each at its number, and no more', () => {
  const log = new EventLog<string>(4);
  expect([log.start, log.end, log.at(0)]).toEqual([0, 0, undefined]);
  for (let number = 0; number < 100; number++) {
    expect(log.push(`event ${number}`)).toBe(number);
    expect([log.start, log.end]).toEqual([Math.max(0, number - 3), number + 1]);
    expect(log.at(log.start)).toBe(`event ${log.start}`);
    expect([log.at(log.start - 1), log.at(log.end)]).toEqual([undefined, undefined]);
  }
});
