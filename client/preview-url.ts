import { invalidArgument } from './errors.ts';

/** Gives the address of a port's preview. May ask the gateway. */
export type PreviewUrl = (port: number, signal?: AbortSignal) => Promise<string>;

/** Where in a sandbox's address its id is: `<public url>/sandboxes/<id>`. */
const SANDBOX_PATH = /^(.*)\/sandboxes\/([^/]+)$/;
/** Hosts of this machine: previews need names below a name, which only `localhost` has. */
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|\[::1\])$/;
const MAX_PORT = 65_535;

/**
 * The address of a port's preview, made of the sandbox's address: `http(s)://<port>-<id>.<host>/`.
 *
 * @throws SandboxError `invalid_argument` (`port`).
 */
export function addressOfPreview(sandboxUrl: string, port: number): string {
  if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) {
    throw invalidArgument('port', `must be a whole number, 1 to ${MAX_PORT}`);
  }
  const { protocol, hostname, port: gatewayPort, pathname } = new URL(sandboxUrl);
  const id = SANDBOX_PATH.exec(pathname)?.[2] ?? 'sandbox';
  const host = LOOPBACK.test(hostname) ? 'localhost' : hostname;
  return `${protocol}//${port}-${id}.${host}${gatewayPort === '' ? '' : `:${gatewayPort}`}/`;
}
