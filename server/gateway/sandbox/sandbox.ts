import type { Metadata, Page } from '../../core/bounds.ts';

/**
 * The state of a sandbox. `failed`: its agent died too often; `destroying`: it is gone for callers,
 * its processes or files are not yet.
 */
export type SandboxStatus = 'running' | 'failed' | 'destroying';

/** Who may see what the ports of a sandbox serve: who has a credential, or who knows the address. */
export type PreviewVisibility = 'private' | 'public';

/** Which Host and Origin programs get that serve previews: those of `localhost`, or those that the browser sent. */
export type PreviewHost = 'localhost' | 'preserved';

/** All that is kept of a sandbox. Times are milliseconds since the epoch. */
export type Sandbox = {
  /** Orders sandboxes by creation; only grows. */
  readonly sequence: number;
  readonly id: string;
  readonly workspaceId: string;
  readonly namespace: string;
  /** Empty for an unnamed sandbox. */
  readonly name: string;
  readonly metadata: Metadata;
  readonly status: SandboxStatus;
  /** Why it failed. Empty in every other state. */
  readonly failure: string;
  readonly driver: string;
  /** Host uid of its box; its own as long as its files exist. Null when the gateway is not root. */
  readonly uid: number | null;
  readonly createdAt: number;
  readonly expiresAt: number;
  /** The boot id of the agent started last. */
  readonly bootId: string | null;
  /** Boot ids before that, newest first. */
  readonly previousBootIds: readonly string[];
  /** The driver's handle of the box started last. */
  readonly handle: string | null;
  readonly previews: PreviewVisibility;
  /** Ports that are public whatever `previews` says. */
  readonly publicPorts: readonly number[];
  readonly previewHost: PreviewHost;
};

/** Whether whoever knows the address of a port may see what it serves. */
export function isPublicPort(
  sandbox: Pick<Sandbox, 'previews' | 'publicPorts'>,
  port: number,
): boolean {
  return sandbox.previews === 'public' || sandbox.publicPorts.includes(port);
}

/** Host uids that a new box may have. */
export type UidChoice = {
  readonly first: number;
  /** Included. */
  readonly last: number;
  /** Where the search begins. */
  readonly start: number;
  /** Not to be chosen, because a process of somebody else has it. */
  readonly busy: ReadonlySet<number>;
};

/** A sandbox to be kept, and the request that asked for it. */
export type NewSandbox = Pick<
  Sandbox,
  'id' | 'workspaceId' | 'namespace' | 'name' | 'metadata' | 'driver' | 'createdAt' | 'expiresAt'
> & {
  readonly request: {
    readonly principalId: string;
    readonly method: string;
    readonly requestId: string;
  };
  /** Absent: private. */
  readonly previews?: PreviewVisibility;
  /** Absent: none. */
  readonly publicPorts?: readonly number[];
  /** Absent: localhost. */
  readonly previewHost?: PreviewHost;
  /** Host uids to choose from. Absent: none is needed. */
  readonly uids?: UidChoice;
  /** The most sandboxes there may be. */
  readonly limit: number;
};

/** What came of a {@link NewSandbox}. */
export type Insertion =
  | { readonly kind: 'created'; readonly sandbox: Sandbox }
  /** The same request made this sandbox before. */
  | { readonly kind: 'repeated'; readonly sandbox: Sandbox }
  /** A live sandbox has the name. */
  | { readonly kind: 'found'; readonly sandbox: Sandbox }
  /** The same request made a sandbox that is gone. */
  | { readonly kind: 'gone' }
  | { readonly kind: 'limit' }
  | { readonly kind: 'no_uid' };

/** Keeps sandboxes. Every method is one transaction, durable when it resolves. */
export interface SandboxStore {
  /** All sandboxes, whatever their state, oldest first. */
  loadAll(): Promise<readonly Sandbox[]>;
  insert(sandbox: NewSandbox): Promise<Insertion>;
  /** Live and failed sandboxes of a workspace, oldest first. */
  list(query: {
    readonly workspaceId: string;
    readonly namespace: string;
    readonly page: Page;
  }): Promise<readonly Sandbox[]>;
  findByName(key: {
    readonly workspaceId: string;
    readonly namespace: string;
    readonly name: string;
  }): Promise<Sandbox | undefined>;
  /** Moves the end if that is later. Undefined when the sandbox is being destroyed or gone. */
  extend(id: string, expiresAt: number): Promise<Sandbox | undefined>;
  /** Changes what the supervisor keeps. Undefined when the sandbox is gone. */
  update(
    id: string,
    change: Partial<Pick<Sandbox, 'bootId' | 'previousBootIds' | 'handle' | 'status' | 'failure'>>,
  ): Promise<Sandbox | undefined>;
  /**
   * Marks it as being destroyed and ends its tokens for `reason`. With `ifExpiredAt` only if its
   * life ended by then. Undefined when there was nothing to do.
   */
  markDestroying(
    id: string,
    options: {
      readonly now: number;
      readonly reason: 'DESTROYED' | 'EXPIRED';
      readonly ifExpiredAt?: number;
    },
  ): Promise<Sandbox | undefined>;
  /** Forgets it; its uid is free again. With `forgetRequest` a retry of its request makes a new one. */
  remove(id: string, options: { readonly forgetRequest?: boolean }): Promise<void>;
}
