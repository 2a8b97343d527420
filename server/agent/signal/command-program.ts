/** What programs in a box call. */
export const COMMAND_NAME = 'computesdk-signal';
/** The socket, in the folder above that of the command. */
export const SOCKET_NAME = 'signal.sock';

const USAGE = `usage: ${COMMAND_NAME} error <message> [source]
       ${COMMAND_NAME} ready <port> [path]
       ${COMMAND_NAME} port <port> [open|close]
       ${COMMAND_NAME} emit <name> [data]
`;

/** The command, as a module that needs nothing else. */
const MODULE = `
import { connect } from 'node:net';
const [folder, type, first, second] = process.argv.slice(1);
const kinds = {
  error: () => ({ message: first, source: second }),
  ready: () => ({ port: Number(first), path: second }),
  port: () => ({ port: Number(first), change: second }),
  emit: () => ({ name: first, data: second }),
};
const fail = (text) => {
  process.stderr.write(text);
  process.exitCode = 1;
};
if (!Object.hasOwn(kinds, type ?? '') || first === undefined) fail(${JSON.stringify(USAGE)});
else {
  process.chdir(folder);
  let answer = '';
  const socket = connect('${SOCKET_NAME}');
  socket.on('error', () => {});
  socket.setEncoding('utf8').on('data', (part) => {
    answer += part;
  });
  socket.on('close', () => {
    if (answer !== 'ok\\n') fail('${COMMAND_NAME}: ' + (answer || 'the sandbox does not answer\\n'));
  });
  socket.write(JSON.stringify({ type, ...kinds[type]() }) + '\\n');
}
`;

/** The text of the command: a shell script, since the path of a node binary may be too long for a first line. */
export function commandProgram(node: string): string {
  return `#!/bin/sh
# Tells those who listen to this sandbox's signals.
exec ${quote(node)} --input-type=module -e ${quote(MODULE)} -- "$(dirname "$0")/.." "$@"
`;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
