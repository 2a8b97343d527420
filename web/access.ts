import { type ConnectOptions, Sandbox } from 'computesdk/client';

/** How the page gets at its sandbox, and gives it up. */
export type Access = {
  connect(url: string): Promise<Sandbox>;
  /** Ends this browser's access to the sandbox. */
  signOut(sandbox: Sandbox): Promise<void>;
};

/** Access by the cookie that a magic link set. */
export const cookieAccess: Access = {
  connect: (url) => Sandbox.connect({ url, token: 'cookie' } satisfies ConnectOptions),
  signOut: (sandbox) => sandbox.disconnect(),
};
