import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import type { AgentProgram } from '../../../../server/driver/agent-program.ts';
import { nodePath } from '../../../support/paths.ts';

/** What a shell command in a box did. */
export type CommandResult = {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
};

/** Stands in the agent's place: runs shell commands with the environment that shells get. */
const PROGRAM = `
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';

const config = JSON.parse(process.argv[2]);
const descriptors = readdirSync('/proc/self/fd').flatMap((fd) => {
  try { return [fd + ' ' + readlinkSync('/proc/self/fd/' + fd)]; } catch { return []; }
});
process.on('SIGTERM', () => {});
if (config.logLevel === 'error') {
  console.error('cannot go on: the test said so');
  process.exit(7);
}
createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    const answer = (value) => response.end(JSON.stringify(value));
    if (request.url === '/self') {
      return answer({ config, descriptors, environment: process.env, pid: process.pid });
    }
    if (request.url === '/log') {
      process.stderr.write(Buffer.concat(chunks));
      return answer({});
    }
    const options = { cwd: config.projectDirectory, env: config.shellEnvironment, timeout: 20000 };
    execFile('/bin/sh', ['-c', Buffer.concat(chunks).toString()], options, (error, stdout, stderr) =>
      answer({ code: error ? (error.code ?? -1) : 0, stdout, stderr }),
    );
  });
}).listen({ fd: config.listenFd });
`;

/** What the stand-in says about itself. */
export type AgentSelf = {
  readonly config: Readonly<Record<string, unknown>>;
  /** `<fd> <target>` as they were before it opened anything. */
  readonly descriptors: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
};

/** Writes the stand-in into a folder that every user can read. */
export function writeCommandAgent(directory: string, node = nodePath): AgentProgram {
  const folder = join(directory, 'command-agent');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'main.mjs'), PROGRAM);
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  chmodSync(folder, 0o755);
  chmodSync(join(folder, 'main.mjs'), 0o644);
  return { node, directory: folder, packages: {} };
}

/** Runs a shell command in the box behind this socket. */
export async function run(socketPath: string, command: string): Promise<CommandResult> {
  return JSON.parse(await post(socketPath, '/run', command)) as CommandResult; // The program above sends it.
}

/** What the stand-in behind this socket was given. */
export async function self(socketPath: string): Promise<AgentSelf> {
  return JSON.parse(await post(socketPath, '/self', '')) as AgentSelf; // The program above sends it.
}

/** Makes the stand-in write to its standard error. */
export async function log(socketPath: string, content: string): Promise<void> {
  await post(socketPath, '/log', content);
}

function post(socketPath: string, path: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ socketPath, path, method: 'POST', agent: false }, (response) => {
      text(response).then(resolve, reject);
    });
    call.on('error', reject);
    call.end(body);
  });
}
