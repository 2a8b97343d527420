import {
  checkDuration,
  checkLine,
  checkMetadata,
  checkPort,
  checkRequestId,
  type Metadata,
} from '../../core/bounds.ts';
import { invalidArgument } from '../../core/domain-error.ts';
import { isId } from '../../core/id.ts';
import type { PreviewHost, PreviewVisibility } from './sandbox.ts';

/** The longest name or namespace, in characters. */
export const MAX_NAME_CHARS = 128;
/** The namespace of names that come without one. */
const DEFAULT_NAMESPACE = 'default';
/** The most ports of a sandbox that are public one by one. */
export const MAX_PUBLIC_PORTS = 64;
/** How long a sandbox lives if the caller does not say, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 24 * 60 * 60_000;
/** By how much a sandbox's life is extended if the caller does not say, in milliseconds. */
export const DEFAULT_EXTENSION_MS = 15 * 60_000;
const LIFE = { minMs: 1000, maxMs: 30 * 24 * 60 * 60_000, range: '1 second to 30 days' };

/** What a caller says of a sandbox to be created. */
export type CreateSandboxRequest = {
  /** Empty: every call creates. */
  readonly requestId: string;
  /** Empty: unnamed. */
  readonly name: string;
  /** Empty: {@link DEFAULT_NAMESPACE}. */
  readonly namespace: string;
  readonly metadata: Metadata;
  /** Milliseconds. Absent: {@link DEFAULT_TIMEOUT_MS}. */
  readonly timeoutMs?: number;
  /** Absent: private. */
  readonly previews?: PreviewVisibility;
  /** Absent: none. */
  readonly publicPorts?: readonly number[];
  /** Absent: localhost. */
  readonly previewHost?: PreviewHost;
};

/** The request with its defaults filled in. Throws INVALID_ARGUMENT. */
export function checkCreate(request: CreateSandboxRequest): Required<CreateSandboxRequest> {
  return {
    requestId: checkRequestId(request.requestId),
    name: checkLine('name', request.name, { max: MAX_NAME_CHARS }),
    namespace: checkNamespace(request.namespace),
    metadata: checkMetadata(request.metadata),
    timeoutMs: checkDuration('timeout', request.timeoutMs ?? DEFAULT_TIMEOUT_MS, LIFE),
    previews: request.previews ?? 'private',
    publicPorts: checkPublicPorts(request.publicPorts ?? []),
    previewHost: request.previewHost ?? 'localhost',
  };
}

/** The ports, each once. Throws INVALID_ARGUMENT. */
function checkPublicPorts(ports: readonly number[]): readonly number[] {
  const known = new Set(ports.map((port) => checkPort('publicPorts', port)));
  if (known.size <= MAX_PUBLIC_PORTS) return [...known];
  throw invalidArgument('publicPorts', `must have at most ${MAX_PUBLIC_PORTS} entries`);
}

/** A name that must be given. Throws INVALID_ARGUMENT. */
export function checkName(name: string): string {
  return checkLine('name', name, { min: 1, max: MAX_NAME_CHARS });
}

/** A namespace, or the default one. Throws INVALID_ARGUMENT. */
export function checkNamespace(namespace: string): string {
  return checkLine('namespace', namespace, { max: MAX_NAME_CHARS }) || DEFAULT_NAMESPACE;
}

/** How much longer a sandbox shall live, in milliseconds. Throws INVALID_ARGUMENT. */
export function checkExtension(durationMs: number | undefined): number {
  return checkDuration('duration', durationMs ?? DEFAULT_EXTENSION_MS, LIFE);
}

/** Throws INVALID_ARGUMENT unless this can be the id of a sandbox. */
export function checkSandboxId(sandboxId: string): string {
  if (isId('sbx', sandboxId)) return sandboxId;
  throw invalidArgument(
    'sandboxId',
    'must be `sbx` and 26 letters and digits, as CreateSandbox returned it',
  );
}
