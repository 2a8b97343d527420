import { checkPort } from '../../core/bounds.ts';
import { invalidArgument } from '../../core/domain-error.ts';
import type { EmittedSignal } from './events.ts';
import {
  MAX_FAILURE_CHARS,
  MAX_READY_PATH_CHARS,
  MAX_SIGNAL_DATA_CHARS,
  MAX_SIGNAL_NAME_CHARS,
  MAX_SOURCE_CHARS,
} from './limits.ts';

/**
 * A path that stays below the address it is put behind: never `//host`, and nothing that a browser takes
 * for another slash or drops.
 */
const PATH = /^\/(?![/\\])[^\s\\]*$/;

/** Throws INVALID_ARGUMENT, which names the field, for a signal that nobody may emit. */
export function checkSignal(signal: EmittedSignal): void {
  switch (signal.type) {
    case 'port':
      checkPort('port', signal.port);
      return;
    case 'serverReady':
      checkPort('port', signal.port);
      checkPath(signal.path);
      return;
    case 'error':
      checkLength('message', signal.message, { min: 1, max: MAX_FAILURE_CHARS });
      checkLength('source', signal.source, { min: 0, max: MAX_SOURCE_CHARS });
      return;
    case 'custom':
      checkLength('name', signal.name, { min: 1, max: MAX_SIGNAL_NAME_CHARS });
      checkLength('data', signal.data, { min: 0, max: MAX_SIGNAL_DATA_CHARS });
      return;
  }
}

function checkPath(path: string): void {
  if (path.length > MAX_READY_PATH_CHARS)
    throw invalidArgument('path', `must be at most ${MAX_READY_PATH_CHARS} characters`);
  if (path !== '' && !PATH.test(path))
    throw invalidArgument('path', 'must be empty, or begin with one slash and hold no spaces');
}

function checkLength(
  field: string,
  text: string,
  { min, max }: { readonly min: number; readonly max: number },
): void {
  if (text.length < min || text.length > max)
    throw invalidArgument(field, `must be ${min} to ${max} characters`);
}
