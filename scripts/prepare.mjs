// npm's `prepare`: builds dist/ when the package is installed from git or packed, and after
// `npm install` in a clone. Completes an installation that an old Node.js left incomplete.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dependencyProblems, installDependencies } from './setup/dependencies.mjs';
import { inRoot, root } from './setup/paths.mjs';

const isNested = process.env.COMPUTESDK_IN_SETUP === '1';
const hasTools = existsSync(inRoot('node_modules', 'typescript'));

if (!isNested && hasTools) {
  const problems = dependencyProblems();
  if (problems.length > 0) installDependencies(problems);
  // Our own Node.js, which npm put first in PATH, may have come only now.
  const build = spawnSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit' });
  process.exit(build.status ?? 1);
}
