import { invalidArgument } from '../../core/domain-error.ts';
import { isId } from '../../core/id.ts';

/** Parameters of a Connect call by GET. All others stay outside the sandbox. */
const QUERY_PARAMETERS: ReadonlySet<string> = new Set([
  'connect',
  'encoding',
  'base64',
  'compression',
  'message',
]);

/** A target below a sandbox's address, taken apart. */
export type SandboxAddress = {
  readonly sandboxId: string;
  /** What follows the sandbox's address: `/<package.Service>/<Method>`. */
  readonly path: string;
  /** The query's parameters that belong to a call by GET, with the question mark, or empty. */
  readonly query: string;
};

/** Takes `<prefix><sandbox id>/<path>?<query>` apart. Throws INVALID_ARGUMENT for a malformed id. */
export function parseSandboxAddress(target: string, prefix: string): SandboxAddress {
  const question = target.indexOf('?');
  const path = question < 0 ? target : target.slice(0, question);
  const slash = path.indexOf('/', prefix.length);
  const sandboxId = path.slice(prefix.length, slash < 0 ? undefined : slash);
  if (!isId('sbx', sandboxId)) {
    throw invalidArgument(
      'sandboxId',
      'the address is not that of a sandbox (sbx and 26 characters)',
    );
  }
  return {
    sandboxId,
    path: slash < 0 ? '' : path.slice(slash),
    query: question < 0 ? '' : callQuery(target.slice(question + 1)),
  };
}

function callQuery(query: string): string {
  const kept = query
    .split('&')
    .filter((pair) => QUERY_PARAMETERS.has(pair.slice(0, Math.max(pair.indexOf('='), 0))));
  return kept.length === 0 ? '' : `?${kept.join('&')}`;
}
