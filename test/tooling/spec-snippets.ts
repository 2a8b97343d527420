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

/** The backend of the quick start: one line on standard output says what the frontend needs. */
export function backendProgram(): string {
  return `const res = { json: (body) => console.log(JSON.stringify(body)) };\n${SERVER_SNIPPET}`;
}

/** The frontend of the quick start, told by `access` (an expression) what the backend said. */
export function frontendProgram(access: string): string {
  return `const { sandboxUrl, token: sessionToken } = await ${access};\n${FRONTEND_SNIPPET}`;
}
