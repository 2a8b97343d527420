import { expect, it } from 'vitest';
import { SignalLog } from '../../../../server/agent/signal/signal-log.ts';

it('numbers its entries and drops the oldest above its limit', () => {
  const log = new SignalLog<number>({ signals: 100, signalBytes: 1e9 }, () => 1);
  for (let entry = 0; entry < 1000; entry += 1) {
    log.push(entry);
    expect(log.end).toBe(entry + 1);
    expect(log.start).toBe(Math.max(0, entry - 99));
    expect(log.at(entry)).toBe(entry);
    expect(log.at(log.start)).toBe(log.start);
    expect(log.at(log.start - 1)).toBeUndefined();
    expect(log.at(entry + 1)).toBeUndefined();
  }
});

it('drops the oldest above its bytes too', () => {
  const log = new SignalLog<string>({ signals: 100, signalBytes: 50 }, (text) => text.length);
  for (let entry = 0; entry < 20; entry += 1) log.push('x'.repeat(10));
  expect([log.start, log.end]).toEqual([15, 20]);
  log.push('y'.repeat(45));
  expect([log.start, log.end]).toEqual([20, 21]);
  log.push('z'.repeat(60));
  expect([log.start, log.end]).toEqual([22, 22]);
});
