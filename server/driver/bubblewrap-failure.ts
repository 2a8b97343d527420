import { existsSync, readFileSync } from 'node:fs';
import { DomainError } from '../core/domain-error.ts';

/** What of the host decides why a box could not be made. */
export type HostFacts = {
  readonly platform: string;
  readonly isRoot: boolean;
  readonly inContainer: boolean;
  /** Ubuntu 24.04 and later: AppArmor allows user namespaces to listed programs only. */
  readonly appArmorRestricts: boolean;
  /** Debian's older switch, or a maximum of zero. */
  readonly usernsDisabled: boolean;
};

const CONTAINER_OPTIONS =
  '--cap-add SYS_ADMIN --cap-add NET_ADMIN --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined';

/** Lines that name a cause, among those that only show where it happened. */
const TELLING_LINE = /^\S+: |error|failed|denied/i;

/** Reads what {@link explainFailure} needs to know. */
export function readHostFacts(): HostFacts {
  return {
    platform: process.platform,
    isRoot: process.getuid?.() === 0,
    inContainer: isContainer(),
    appArmorRestricts: setting('/proc/sys/kernel/apparmor_restrict_unprivileged_userns') === '1',
    usernsDisabled:
      setting('/proc/sys/kernel/unprivileged_userns_clone') === '0' ||
      setting('/proc/sys/user/max_user_namespaces') === '0',
  };
}

/**
 * The error for a box that could not be made: its cause, and the one thing that helps.
 * `detail` is what the programs printed, or the message of the spawn error.
 */
export function explainFailure(detail: string, facts: HostFacts): DomainError {
  const lines = detail.trim().split('\n');
  const telling = lines.filter((line) => TELLING_LINE.test(line) && !line.startsWith('WARNING'));
  const said = (telling.length > 0 ? telling : lines).slice(-3).join(' | ') || 'no message';
  return new DomainError(
    'DRIVER_UNAVAILABLE',
    `bubblewrap: ${causeAndFix(detail, facts)} (${said})`,
  );
}

function causeAndFix(detail: string, facts: HostFacts): string {
  if (facts.platform !== 'linux') {
    return 'it exists on Linux only; run the gateway in a Linux virtual machine or container';
  }
  const missing =
    /spawn (\S+) (?:ENOENT|EACCES)/.exec(detail)?.[1] ??
    /(\S+): (?:command )?not found/.exec(detail)?.[1];
  if (missing !== undefined) return missingProgram(missing.replace(/:$/, ''));
  if (/failed to execute bwrap/.test(detail)) return missingProgram('bwrap');
  if (/slirp4netns|\/dev\/net\/tun/.test(detail)) {
    return 'outgoing network (nat) cannot be had here; make /dev/net/tun usable, or set COMPUTESDK_EGRESS=none';
  }
  if (!isPermission(detail)) return 'a box could not be made; see the message';
  if (!facts.isRoot && facts.appArmorRestricts) {
    return 'AppArmor denies user namespaces to programs that are not listed (Ubuntu 24.04 and later); run `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or run the gateway as root';
  }
  if (facts.usernsDisabled) {
    return 'user namespaces are turned off; run `sudo sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000`';
  }
  if (facts.inContainer) {
    return `this container may not make namespaces; start it with \`docker run ${CONTAINER_OPTIONS} …\``;
  }
  return 'the system denies namespaces; run the gateway as root, or on a host that allows user namespaces';
}

function missingProgram(name: string): string {
  const packages: Readonly<Record<string, string>> = {
    bwrap: 'bubblewrap',
    slirp4netns: 'slirp4netns',
    ip: 'iproute2',
    mount: 'mount',
  };
  const packageName = packages[name] ?? 'util-linux';
  return `the program ${name} is missing; run \`apt-get install ${packageName}\` (or your system's equivalent)`;
}

function isPermission(detail: string): boolean {
  return /not permitted|permission|denied|No space left|Invalid argument|namespace/i.test(detail);
}

function isContainer(): boolean {
  if (existsSync('/.dockerenv') || existsSync('/run/.containerenv')) return true;
  return (setting('/proc/1/environ') ?? '')
    .split('\0')
    .some((entry) => entry.startsWith('container='));
}

function setting(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}
