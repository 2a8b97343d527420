import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';

/** Programs that some tests need, each with its package on Debian and Ubuntu. */
const TOOLS = [
  { program: 'chromium', package: 'chromium', override: 'CHROMIUM_PATH' },
  { program: 'bwrap', package: 'bubblewrap' },
  { program: 'slirp4netns', package: 'slirp4netns' },
  { program: 'ip', package: 'iproute2' },
];

/**
 * Installs what the tests need besides npm packages, where that is possible without asking: as
 * root on Debian or Ubuntu. Elsewhere it says what to do. `COMPUTESDK_SKIP_SETUP=1` turns it off.
 */
export function ensureTestTools() {
  const missing = TOOLS.filter((tool) => !isPresent(tool));
  if (missing.length === 0 || process.env.COMPUTESDK_SKIP_SETUP === '1') return;
  const packages = missing.map((tool) => tool.package);
  const install = ['apt-get', 'install', '-y', '--no-install-recommends', ...packages];
  if (!isDebian()) {
    console.log(`the tests need ${packages.join(', ')}: install them with your package manager`);
    return;
  }
  if (process.getuid?.() !== 0) {
    console.log(`the tests need ${packages.join(', ')}: sudo ${install.join(' ')}`);
    return;
  }
  console.log(`setting up: ${install.join(' ')} (COMPUTESDK_SKIP_SETUP=1 turns this off)`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] };
  const isInstalled = () => spawnSync(install[0], install.slice(1), quiet).status === 0;
  // The package lists of a fresh container are empty or old: fetch them when the first try fails.
  if (
    !isInstalled() &&
    (spawnSync('apt-get', ['update', '-q'], quiet).status !== 0 || !isInstalled())
  ) {
    console.error(`could not install ${packages.join(', ')}; the tests that need them will say so`);
  }
}

function isPresent(tool) {
  const override = tool.override && process.env[tool.override];
  if (override) return isExecutable(override);
  return (process.env.PATH ?? '')
    .split(delimiter)
    .some((folder) => isExecutable(join(folder, tool.program)));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

function isDebian() {
  if (!existsSync('/etc/os-release')) return false;
  const release = readFileSync('/etc/os-release', 'utf8');
  return /^ID(_LIKE)?=.*\b(debian|ubuntu)\b/m.test(release);
}
