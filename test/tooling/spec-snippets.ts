/**
 * The quick start of the client-side access guide, as written. The tests run these texts; what is
 * around them (`res`, where the page gets its token) stands in {@link backendProgram} and
 * {@link frontendProgram}.
 */
export const SERVER_SNIPPET = `
// Server-side code
import { compute } from 'computesdk';

const sandbox = await compute.sandbox.create();

// Create a session token
const session = await sandbox.sessionToken.create({
  description: 'User session',
  expiresIn: 86400, // 24 hours in seconds
});

// Send to frontend
res.json({
  sandboxUrl: sandbox.url,
  token: session.token,
});
`;

export const FRONTEND_SNIPPET = `
// Frontend code
import { Sandbox } from 'computesdk/client';

// Connect to sandbox with token
const sandbox = await Sandbox.connect({
  url: sandboxUrl,
  token: sessionToken,
});

// Now you can use all sandbox features
const terminal = await sandbox.terminal.create({ pty: true });
terminal.on('output', (data) => console.log(data));
terminal.write('ls -la\\n');
`;

/** How the guide looks after tokens; `token-id` stands for an id. */
const TOKEN_SNIPPET = `
// List all session tokens
const tokens = await sandbox.sessionToken.list();
tokens.forEach(token => {
  console.log(\`\${token.id}: \${token.description}\`);
  console.log(\`  Created: \${token.createdAt}\`);
  console.log(\`  Expires: \${token.expiresAt}\`);
  console.log(\`  Last used: \${token.lastUsedAt || 'never'}\`);
});

// Retrieve a specific token
const token = await sandbox.sessionToken.retrieve('token-id');

// Revoke a token (invalidates it immediately)
await sandbox.sessionToken.revoke('token-id');
`;

/** How the guide listens to a sandbox; `iframe` and `showNotification` are the page's. */
export const SIGNALS_SNIPPET = `
const signals = await sandbox.signal.start();

signals.on('port', (event) => {
  if (event.type === 'open') {
    console.log(\`Server started on port \${event.port}\`);
    iframe.src = event.url;
  }
});

signals.on('error', (event) => {
  showNotification('error', event.message);
});
`;

/** A module whose `listen` runs the snippet in a page of these parts, and gives the signals. */
export const signalsModule = `
export async function listen({ sandbox, iframe, showNotification, console }) {
${SIGNALS_SNIPPET}
  return signals;
}
`;

/** The backend that also looks after its tokens. */
export function tokenProgram(): string {
  const snippet = TOKEN_SNIPPET.replaceAll("'token-id'", 'session.id');
  return `const res = { json() {} };\n${SERVER_SNIPPET}${snippet}
console.log('retrieved ' + (token.id === session.id));
console.log('left ' + (await sandbox.sessionToken.list()).length);
await sandbox.destroy();
`;
}

/** How the guide watches files; `editor` stands for one. */
export const WATCHER_SNIPPET = `
const watcher = await sandbox.watcher.create('/project', {
  ignored: ['node_modules', '.git'],
  includeContent: true,
});

watcher.on('change', (event) => {
  console.log(\`\${event.event}: \${event.path}\`);
  if (event.content) {
    editor.setValue(event.content);
  }
});
`;

/** The frontend that watches files, and a program in the sandbox that writes one. */
export function watcherProgram(access: string): string {
  return `import { Sandbox } from 'computesdk/client';
const { sandboxUrl, token } = ${access};
const sandbox = await Sandbox.connect({ url: sandboxUrl, token });
const editor = { setValue: (value) => console.log('editor: ' + value) };
${WATCHER_SNIPPET}
const shell = await sandbox.terminal.create({ pty: true });
shell.write('mkdir node_modules && touch node_modules/ignored && echo from the shell > watched.txt\\n');
`;
}

/** The backend of the quick start: one line on standard output says what the frontend needs. */
export function backendProgram(): string {
  return `const res = { json: (body) => console.log(JSON.stringify(body)) };\n${SERVER_SNIPPET}`;
}

/** The frontend of the quick start, told by `access` (an expression) what the backend said. */
export function frontendProgram(access: string): string {
  return `const { sandboxUrl, token: sessionToken } = await ${access};\n${FRONTEND_SNIPPET}`;
}
