/** What a gateway asks of an agent to reach a port of the box, as the value of `Upgrade`. */
export const TUNNEL_PROTOCOL = 'computesdk-tunnel';

const TUNNEL_PATH = /^\/ports\/([1-9]\d{0,4})$/;
const MAX_PORT = 65_535;

/** Where it asks for that. */
export function tunnelPath(port: number): string {
  return `/ports/${port}`;
}

/** The port that a path names, in its one spelling. */
export function portOfTunnel(path: string | undefined): number | undefined {
  const port = Number(TUNNEL_PATH.exec(path ?? '')?.[1] ?? 0);
  return port >= 1 && port <= MAX_PORT ? port : undefined;
}

/** How an agent refuses a tunnel, as an HTTP status: nothing listens, or something does that lets nobody in. */
export const TUNNEL_REFUSAL = { nothingListens: 404, notAnswering: 502 } as const;
