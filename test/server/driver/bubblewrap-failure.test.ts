import { describe, expect, test } from 'vitest';
import { explainFailure, type HostFacts } from '../../../server/driver/bubblewrap-failure.ts';

const linux: HostFacts = {
  platform: 'linux',
  isRoot: false,
  inContainer: false,
  appArmorRestricts: false,
  usernsDisabled: false,
};

describe('a failure to make a box is explained by its cause and the one fix', () => {
  const cases: readonly (readonly [string, string, Partial<HostFacts>, RegExp, string])[] = [
    ['no bubblewrap', 'spawn bwrap ENOENT', {}, /bwrap is missing/, 'apt-get install bubblewrap'],
    [
      'no bubblewrap, seen by the wrapper',
      'prlimit: failed to execute bwrap: No such file or directory',
      {},
      /bwrap is missing/,
      'apt-get install bubblewrap',
    ],
    ['no ip', 'sh: 9: ip: not found', {}, /ip is missing/, 'apt-get install iproute2'],
    [
      'no slirp4netns',
      'spawn slirp4netns ENOENT',
      {},
      /slirp4netns is missing/,
      'install slirp4netns',
    ],
    ['no setpriv', 'spawn setpriv ENOENT', {}, /setpriv is missing/, 'install util-linux'],
    ['macOS', 'spawn bwrap ENOENT', { platform: 'darwin' }, /Linux only/, 'virtual machine'],
    [
      'Ubuntu as a user',
      'bwrap: setting up uid map: Permission denied',
      { appArmorRestricts: true },
      /AppArmor/,
      'kernel.apparmor_restrict_unprivileged_userns=0',
    ],
    [
      'user namespaces turned off',
      'bwrap: No permissions to create new namespace, likely because the kernel does not allow it',
      { usernsDisabled: true },
      /turned off/,
      'kernel.unprivileged_userns_clone=1',
    ],
    [
      'a plain container',
      'unshare: unshare failed: Operation not permitted',
      { isRoot: true, inContainer: true },
      /this container may not make namespaces/,
      'docker run --cap-add SYS_ADMIN',
    ],
    [
      'a container with masked /proc',
      "bwrap: Can't mount proc on /newroot/proc: Operation not permitted",
      { inContainer: true },
      /this container/,
      'systempaths=unconfined',
    ],
    [
      'no tun device',
      'open("/dev/net/tun"): Permission denied',
      { inContainer: true },
      /nat\) cannot be had/,
      'COMPUTESDK_EGRESS=none',
    ],
    [
      'anything else',
      "bwrap: Can't find source path /x",
      {},
      /see the message/,
      "Can't find source path",
    ],
  ];

  test.each(cases)('%s', (_what, detail, facts, cause, fix) => {
    const error = explainFailure(detail, { ...linux, ...facts });
    expect(error.reason).toBe('DRIVER_UNAVAILABLE');
    expect(error.message).toMatch(cause);
    expect(error.message).toContain(fix);
    expect(error.message.split('\n')).toHaveLength(1);
  });
});
