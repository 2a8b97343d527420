// Makes a fresh clone able to run: `node scripts/setup.mjs [start|test|agent|install]`.
// Plain JavaScript, because the Node.js that npm runs on may be too old to run TypeScript.
// Quick when nothing is missing: it compares two hashes and the times of some files.

import { buildAgent, isAgentCurrent } from './setup/agent-bundle.mjs';
import { dependencyProblems, installDependencies } from './setup/dependencies.mjs';
import { ensureTestTools } from './setup/test-tools.mjs';

const goal = process.argv[2] ?? 'install';

const problems = dependencyProblems();
if (problems.length > 0) installDependencies(problems);
if (goal !== 'install' && !isAgentCurrent()) await buildAgent();
if (goal === 'test') ensureTestTools();
