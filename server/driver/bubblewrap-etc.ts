import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inParallel } from '../core/in-parallel.ts';
import type { Egress } from './driver.ts';

/** The one user of a box, as programs in it see it. */
export const BOX_USER = { name: 'user', id: 1000, home: '/home/user', shell: '/bin/bash' } as const;

/** Where slirp4netns answers DNS inside a box. */
const NAT_RESOLVER = '10.0.2.3';

/**
 * What a box shares of the host's /etc: certificates, the loader's cache, and the defaults of common
 * programs. Nothing that holds credentials (no gitconfig, no npmrc), nothing about the host's users.
 */
const SHARED_ETC = [
  'alternatives',
  'bash.bashrc',
  'bashrc',
  'ca-certificates',
  'ca-certificates.conf',
  'crypto-policies',
  'debian_version',
  'fonts',
  'inputrc',
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'localtime',
  'magic',
  'mime.types',
  'os-release',
  'perl',
  'pki',
  'profile',
  'protocols',
  'python3',
  'services',
  'shells',
  'ssl',
  'terminfo',
] as const;
/** Debian's Java keeps its configuration here and only links to it. */
const SHARED_ETC_PATTERN = /^java-\d+/;

/** The files of a box's own /etc, by name. */
export async function etcFiles(options: {
  readonly hostname: string;
  readonly egress: Egress;
}): Promise<Record<string, string>> {
  return {
    passwd: `root:x:0:0:root:/root:/usr/sbin/nologin\n${userLine()}\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
    group: `root:x:0:\n${BOX_USER.name}:x:${BOX_USER.id}:\nnogroup:x:65534:\n`,
    hostname: `${options.hostname}\n`,
    hosts: `127.0.0.1 localhost ${options.hostname}\n::1 localhost ip6-localhost ip6-loopback\n`,
    'nsswitch.conf':
      'passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nservices: files\nprotocols: files\n',
    'resolv.conf': await resolvConf(options.egress),
  };
}

/** Writes them into a folder, in the place of what is there. */
export async function writeEtc(
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  await inParallel([
    // Whatever the umask is, the box's user must be able to read them.
    chmod(folder, 0o755),
    ...Object.entries(files).map(async ([name, text]) => {
      const path = join(folder, name);
      await writeFile(path, text);
      await chmod(path, 0o644);
    }),
  ]);
}

/** Names in the host's /etc that a box may read. */
export async function sharedEtc(): Promise<string[]> {
  const extra = (await readdir('/etc')).filter((name) => SHARED_ETC_PATTERN.test(name));
  return [...SHARED_ETC, ...extra].filter((name) => existsSync(join('/etc', name)));
}

function userLine(): string {
  const { name, id, home, shell } = BOX_USER;
  return `${name}:x:${id}:${id}::${home}:${existsSync(shell) ? shell : '/bin/sh'}`;
}

async function resolvConf(egress: Egress): Promise<string> {
  switch (egress) {
    case 'none':
      return '';
    case 'nat':
      return `nameserver ${NAT_RESOLVER}\n`;
    case 'host':
      return readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  }
}
