import { readFileSync } from 'node:fs';
import { join } from 'node:path';

const FILE = join(import.meta.dirname, 'access-snippets.md');
const SECTION = /^## (.+)\n\n```js\n([\s\S]*?)^```$/gm;

const snippets: ReadonlyMap<string, string> = new Map(
  [...readFileSync(FILE, 'utf8').matchAll(SECTION)].map(([, name = '', text = '']) => [name, text]),
);

/** A backend that makes tokens and links of one sandbox, and tells what came of it in JSON at last. */
export function delegatingProgram(): string {
  return `
import { compute } from 'computesdk';
const sandbox = await compute.sandbox.create();
const userEmail = 'ada@example.com';
const emails = [];
function sendEmail(...email) { emails.push(email); }
${snippet('options of a token')}
${snippet('expiration times')}
${snippet('a magic link')}
${snippet('tokens').replaceAll("'token-id'", 'session.id')}
const left = await sandbox.sessionToken.list();
console.log(JSON.stringify({ emails, link, retrieved: token, made: [session, shortToken, longToken], left }));
await sandbox.destroy();
`;
}

/**
 * An Express app with the guide's three handlers, and the pages of this file. Its parent process hears where it listens, says
 * where the gateway is, and hears of each invitation that is sent.
 */
export function expressProgram(express: string): string {
  return `
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { compute } from 'computesdk';
import express from ${JSON.stringify(express)};

const app = express();
const server = app.listen(0, '127.0.0.1');
await once(server, 'listening');
process.send({ port: server.address().port });
const [{ gatewayUrl }] = await once(process, 'message');
process.env.COMPUTESDK_GATEWAY_URL = gatewayUrl;
process.on('disconnect', () => process.exit());

// What every app has: bodies, and who calls. Here it is always the same user.
const userId = 7;
const session = {};
app.use(express.json());
app.use((req, res, next) => {
  // The guide's page gets what its handler wants to be posted.
  if (req.path === '/api/workspace') req.method = 'POST';
  req.user = { id: userId, email: 'ada@example.com' };
  req.session = session;
  next();
});
async function sendInviteEmail(email, url) {
  process.send({ email, url });
}

${snippet('namespaces')}
${snippet('invite')}
${snippet('logout')}
${snippet('workspace')}

async function sandboxOf(userId) {
${snippet('namespaces')}
  return sandbox;
}

app.get('/sandbox-of/:user', async (req, res) => {
  res.json({ url: (await sandboxOf(req.params.user)).url });
});

app.get('/project/:id', async (req, res) => {
  // The app notes whom the link signed in, to sign exactly that browser out.
  const tokens = await sandbox.sessionToken.list();
  session.tokenId = tokens.findLast(({ kind }) => kind === 'magic_link')?.id;
  res.send('<!doctype html><html data-sandbox-url="' + sandbox.url + '"><link rel="icon" href="data:,"><title>' + req.params.id +
    '</title><pre id="terminal"></pre><script type="module" src="/frontend.js"></script>');
});
app.get('/ide', (req, res) => {
  res.send('<!doctype html><html><link rel="icon" href="data:,"><title>IDE</title><pre id="terminal"></pre>' +
    '<ul></ul><iframe></iframe><script type="module" src="/ide.js"></script>');
});
app.get(['/frontend.js', '/ide.js'], (req, res) => {
  res.type('js').send(readFileSync(new URL('.' + req.path, import.meta.url), 'utf8'));
});
process.send({ ready: true });
`;
}

/** The page that an invitation leads to. What it types at last and shows of itself is ours. */
export function projectPage(): string {
  return `
import { Sandbox } from 'computesdk/client';
const page = document.documentElement;
const { sandboxUrl } = page.dataset;
page.dataset.referrer = document.referrer;
const terminalElement = document.querySelector('#terminal');
${snippet('connect by cookie')}
sandbox.on('connection', ({ state, reason }) => {
  page.dataset.connection = state + ' ' + reason;
});
${snippet('a terminal')}
terminal.write('echo hel$(true)lo $(stty size)\\n');
`;
}

/** The complete web IDE. What it shows is ours, and its address names the transport. */
export function idePage(): string {
  return `
import { Sandbox as Client } from 'computesdk/client';
const transport = new URLSearchParams(location.search).get('transport');
const Sandbox = { connect: (options) => Client.connect({ ...options, transport }) };
function renderTerminal(data) {
  document.querySelector('#terminal').append(data);
}
function reloadPreview({ event, path }) {
  document.querySelector('ul').append(event + ' ' + path + '; ');
}
function updatePreviewUrl({ type, url }) {
  if (type === 'open') document.querySelector('iframe').src = url;
}
${snippet('web IDE')}
await initIDE();
document.title = 'IDE of ' + transport;
`;
}

/** One snippet, as written. */
function snippet(name: string): string {
  const text = snippets.get(name);
  if (text === undefined) throw new Error(`${FILE} has no snippet "${name}"`);
  return text;
}
