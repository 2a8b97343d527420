// Makes a fresh clone able to run: `node scripts/setup.mjs [start|test|agent|install]`.
// Plain JavaScript, because the Node.js that npm runs on may be too old to run TypeScript.
// Quick when nothing is missing: it compares two hashes and the times of some files.

import { spawnSync } from 'node:child_process';
import { buildAgent, isAgentCurrent } from './setup/agent-bundle.mjs';
import { dependencyProblems, installDependencies } from './setup/dependencies.mjs';
import { inRoot } from './setup/paths.mjs';
import { ensureTestTools } from './setup/test-tools.mjs';
import { isWebCurrent } from './setup/web-bundle.mjs';

const goal = process.argv[2] ?? 'install';

const problems = dependencyProblems();
if (problems.length > 0) installDependencies(problems);
if (goal !== 'install' && !isAgentCurrent()) await buildAgent();
if ((goal === 'start' || goal === 'test') && !isWebCurrent()) buildWebByOurNode();
if (goal === 'test') ensureTestTools();

/** Vite does not run on every Node.js that we may be running on. */
function buildWebByOurNode() {
  const node = inRoot('node_modules', 'node', 'bin', 'node');
  const { status } = spawnSync(node, [inRoot('scripts', 'build-web.mjs')], { stdio: 'inherit' });
  if (status === 0) return;
  console.error('set-up failed: the workspace page could not be built');
  process.exit(1);
}
