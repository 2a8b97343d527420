import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join, sep } from 'node:path';
import { inRoot, root } from './paths.mjs';

/** Holds the hash of the lock files that were found to agree. Vanishes with node_modules. */
const STAMP = inRoot('node_modules', '.computesdk-setup');
const WANTED = inRoot('package-lock.json');
const INSTALLED = inRoot('node_modules', '.package-lock.json');

/**
 * What is missing or wrong in node_modules, in words; empty when all is there.
 *
 * npm on an old Node.js silently leaves out optional dependencies whose `engines` ask for a newer
 * one, so an install that succeeded is no proof.
 */
export function dependencyProblems() {
  if (!existsSync(INSTALLED)) return ['no dependencies are installed'];
  if (stampNow() === read(STAMP)) return [];
  const wanted = JSON.parse(readFileSync(WANTED, 'utf8')).packages;
  const installed = JSON.parse(readFileSync(INSTALLED, 'utf8')).packages;
  const problems = [];
  const direct = new Set(Object.keys(wanted[''].optionalDependencies ?? {}));
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '') continue;
    const found = installed[path];
    const mayBeMissing = entry.optional && !direct.has(path.slice('node_modules/'.length));
    if (found ? found.version !== entry.version : !mayBeMissing) {
      problems.push(
        `${path} ${found ? `is ${found.version}, not ${entry.version}` : 'is missing'}`,
      );
    }
  }
  if (!existsSync(inRoot('node_modules', 'node', 'bin', 'node'))) {
    problems.push('the install script of the package `node` did not run');
  }
  if (problems.length === 0) writeFileSync(STAMP, stampNow());
  return problems;
}

/** Installs what package-lock.json says, by npm on the Node.js version that we run on. */
export function installDependencies(problems) {
  console.log(`setting up: installing dependencies (${summary(problems)})`);
  const directory = mkdtempSync(join(tmpdir(), 'computesdk-node-'));
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
  const node = modernNode(directory);
  const env = environment();
  env.PATH = `${dirname(node)}${delimiter}${env.PATH}`;
  const npmCli = process.env.npm_execpath;
  const [command, args] = npmCli?.endsWith('.js') ? [node, [npmCli]] : ['npm', []];
  run(command, [...args, 'ci', '--no-audit', '--no-fund'], env);
  const left = dependencyProblems();
  if (left.length > 0) fail(`the installation is incomplete: ${summary(left)}`);
}

/**
 * A Node.js of the wanted major version that lies outside of node_modules, which `npm ci` deletes:
 * our own, or one that is installed into `directory`.
 */
function modernNode(directory) {
  const { node: version } = JSON.parse(
    readFileSync(inRoot('package.json'), 'utf8'),
  ).devDependencies;
  const isOurs = process.execPath.startsWith(inRoot('node_modules') + sep);
  if (!isOurs && Number.parseInt(process.versions.node, 10) >= Number.parseInt(version, 10)) {
    return process.execPath;
  }
  // A project of its own may allow the install script that puts the binary in its place. On the
  // command line (`npm exec --allow-scripts`) that script's own npm inherits the flag and refuses it.
  const project = { private: true, dependencies: { node: version }, allowScripts: { node: true } };
  writeFileSync(join(directory, 'package.json'), JSON.stringify(project));
  const args = ['install', '--no-audit', '--no-fund', '--no-package-lock', '--loglevel=error'];
  const env = environment();
  const { status } = spawnSync('npm', args, { cwd: directory, env, stdio: 'inherit' });
  const node = join(directory, 'node_modules', 'node', 'bin', 'node');
  const found = spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout?.trim();
  if (status !== 0 || found !== `v${version}`) fail(`npm did not give Node.js ${version}`);
  return node;
}

/** Our environment without the commands of node_modules, so that npm runs on the system's Node.js. */
function environment() {
  const local = `node_modules${sep}.bin`;
  const path = (process.env.PATH ?? '').split(delimiter).filter((entry) => !entry.endsWith(local));
  // The build that `npm ci` starts as `prepare` is not needed for running from source.
  return { ...process.env, PATH: path.join(delimiter), COMPUTESDK_IN_SETUP: '1' };
}

function stampNow() {
  const hash = createHash('sha256').update(readFileSync(WANTED)).update(readFileSync(INSTALLED));
  return hash.digest('hex');
}

function read(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function summary(problems) {
  const shown = problems.slice(0, 3).join(', ');
  return problems.length > 3 ? `${shown}, and ${problems.length - 3} more` : shown;
}

function run(command, args, env) {
  const result = spawnSync(command, args, { cwd: root, env, stdio: 'inherit' });
  if (result.status !== 0) fail(`${command} ${args.join(' ')} failed`);
}

function fail(message) {
  console.error(`set-up failed: ${message}`);
  process.exit(1);
}
