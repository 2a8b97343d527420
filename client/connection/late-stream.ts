import type { Connection } from './connection.ts';

/** A stream has begun and nothing of it came. If calls are answered, something keeps it back: tells so. */
export async function onLateStream(
  connection: Connection,
  stillLate: () => boolean,
): Promise<void> {
  if (!(await connection.probe()) || !stillLate()) return;
  connection.note({
    code: 'buffering_proxy',
    message:
      'calls are answered and streams are not: turn off the buffering of the proxy before the gateway',
  });
}
