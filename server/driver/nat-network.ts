import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { Readable } from 'node:stream';
import { DomainError } from '../core/domain-error.ts';

export type NatOptions = {
  /** A process in the box's network namespace. */
  readonly pid: number;
  /** Whether that namespace belongs to a user namespace of its own, since this process is not root. */
  readonly hasUserNamespace: boolean;
  /** Our end of a pair whose other end the box holds: when it closes, the box is gone. */
  readonly lifeline: Socket;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: FileHandle;
};

/** What no box reaches by NAT beside the host's own addresses: link-local, where clouds serve their secrets. */
const ALWAYS_UNREACHABLE = ['169.254.0.0/16'];
const EXIT_FD = 3;
const READY_FD = 4;
const READY_DEADLINE_MS = 10_000;

/** Addresses that code in a box must not reach: the host's own, as they are now, and link-local ones. */
export function unreachableAddresses(): string[] {
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(
      ({ family, internal, address }) =>
        family === 'IPv4' && !internal && !address.startsWith('169.254.'),
    )
    .map(({ address }) => `${address}/32`);
  return [...ALWAYS_UNREACHABLE, ...new Set(own)];
}

/**
 * Gives a network namespace a way out through slirp4netns, which ends by itself when the box does,
 * whether this process still lives or not. Resolves with its pid when packets pass.
 */
export async function startNat(options: NatOptions, signal: AbortSignal): Promise<number> {
  const child = spawn('slirp4netns', slirpArguments(options), {
    env: { ...options.environment },
    detached: true,
    stdio: ['ignore', options.log.fd, options.log.fd, options.lifeline, 'pipe'],
  });
  child.unref();
  const ready = child.stdio[READY_FD];
  if (!(ready instanceof Readable)) throw new Error('slirp4netns has no ready pipe');
  try {
    await untilReady(child, ready, signal);
  } finally {
    options.lifeline.destroy();
    ready.destroy();
  }
  return child.pid ?? 0;
}

function slirpArguments({ pid, hasUserNamespace }: NatOptions): string[] {
  return [
    ...[
      '--configure',
      '--mtu=65520',
      '--disable-host-loopback',
      '--enable-sandbox',
      '--enable-seccomp',
    ],
    ...[`--exit-fd=${EXIT_FD}`, `--ready-fd=${READY_FD}`],
    // By pid it joins the user namespace too. By path it cannot, with its sandbox (its issue 317).
    ...(hasUserNamespace ? [`${pid}`] : ['--netns-type=path', `/proc/${pid}/ns/net`]),
    'tap0',
  ];
}

async function untilReady(
  child: ChildProcess,
  ready: Readable,
  signal: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const limit = AbortSignal.any([signal, AbortSignal.timeout(READY_DEADLINE_MS), stop.signal]);
  const ended = once(child, 'exit', { signal: limit }).then(() => {
    throw new DomainError(
      'DRIVER_UNAVAILABLE',
      'slirp4netns ended before the network of the box was ready',
    );
  });
  try {
    await Promise.race([once(ready, 'data', { signal: limit }), ended]);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    throw new DomainError('DRIVER_UNAVAILABLE', 'slirp4netns is not installed', { cause: error });
  } finally {
    stop.abort();
    ended.catch(() => {});
  }
}
