/** What one file may and may not import. */
export type LayerCase = {
  readonly path: string;
  readonly refused: readonly string[];
  readonly allowed: readonly string[];
};

const VENDORS = [
  '@connectrpc/connect-node',
  '@connectrpc/connect-web',
  'chokidar',
  'jose',
  'kysely',
  'node-pty',
  'node:sqlite',
  'ws',
];
const CONNECT = ['@connectrpc/connect', '@connectrpc/connect/protocol', '@bufbuild/protobuf'];

function vendorsBut(...names: readonly string[]): string[] {
  return VENDORS.filter((vendor) => !names.includes(vendor));
}

/** Folders of one domain each, below server/. They know core/ and nothing else of ours. */
const DOMAINS = [
  'agent/command',
  'agent/filesystem',
  'agent/port',
  'agent/signal',
  'agent/terminal',
  'agent/watcher',
  'gateway/auth',
  'gateway/sandbox',
  'gateway/store',
];

const FOREIGN_TO_DOMAINS = [
  ...CONNECT,
  '../config.ts',
  '../main.ts',
  '../other/thing.ts',
  '../rpc/thing-service.ts',
  '../../rpc/connect-error.ts',
  '../../../gen/computesdk/v1/thing_pb.ts',
  '../../../client/index.ts',
];

/** Beyond core/: the store keeps the nouns of other folders, a sandbox is started by a driver. */
const EXCEPTIONS: Readonly<Record<string, readonly string[]>> = {
  'gateway/sandbox': ['../../driver/driver.ts', '../../agent/config.ts'],
  'gateway/store': [
    'kysely',
    '../auth/session-token.ts',
    '../auth/magic-link.ts',
    '../sandbox/sandbox.ts',
  ],
};

const domainCases = DOMAINS.map((folder): LayerCase => {
  const own = EXCEPTIONS[folder] ?? [];
  return {
    path: `server/${folder}/any-file.ts`,
    refused: [...vendorsBut(...own), ...FOREIGN_TO_DOMAINS],
    allowed: [...own, 'node:fs', './sibling.ts', '../../core/clock.ts'],
  };
});

/** The one file that may import each vendor, and what even that file may not. */
const adapterCases: readonly LayerCase[] = [
  {
    path: 'server/agent/terminal/node-pty.ts',
    refused: [...vendorsBut('node-pty'), ...FOREIGN_TO_DOMAINS],
    allowed: ['node-pty', './session.ts', '../../core/log.ts'],
  },
  {
    path: 'server/gateway/auth/token-signer.ts',
    refused: [...vendorsBut('jose'), ...FOREIGN_TO_DOMAINS],
    allowed: ['jose', './authenticator.ts', '../../core/log.ts'],
  },
  {
    path: 'server/gateway/store/sqlite-worker.ts',
    refused: [...vendorsBut('node:sqlite'), ...FOREIGN_TO_DOMAINS],
    allowed: ['node:sqlite', './schema.ts', '../../core/log.ts'],
  },
  {
    path: 'server/rpc/connect-node.ts',
    refused: vendorsBut('@connectrpc/connect-node'),
    allowed: ['@connectrpc/connect-node', ...CONNECT, '../core/clock.ts'],
  },
  {
    path: 'server/gateway/socket/web-socket.ts',
    refused: vendorsBut('ws'),
    allowed: ['ws', '../../../frames/frame.ts'],
  },
  {
    path: 'frames/any-file.ts',
    refused: [...VENDORS, 'node:fs', '../server/core/id.ts', '../client/index.ts'],
    allowed: ['@connectrpc/connect', '@bufbuild/protobuf', '../gen/computesdk/v1/frame_pb.ts'],
  },
  {
    path: 'server/gateway/rpc/agent-client.ts',
    refused: vendorsBut('@connectrpc/connect-node'),
    allowed: [
      '@connectrpc/connect-node',
      ...CONNECT,
      '../../agent/config.ts',
      '../../../gen/computesdk/agent/v1/agent_service_pb.ts',
    ],
  },
  {
    path: 'client/connection/transport.ts',
    refused: [...vendorsBut('@connectrpc/connect-web'), 'node:fs', '../../server/core/id.ts'],
    allowed: ['@connectrpc/connect-web', ...CONNECT],
  },
];

/** Every layer of the house, with imports that must be refused in it and ones that must pass. */
export const LAYER_CASES: readonly LayerCase[] = [
  ...domainCases,
  ...adapterCases,
  {
    path: 'client/terminal.ts',
    refused: [...VENDORS, 'node:fs', '../server/core/id.ts'],
    allowed: [...CONNECT, './errors.ts', '../gen/computesdk/v1/terminal_pb.ts'],
  },
  {
    path: 'client/compute.ts',
    refused: [...VENDORS, '../server/core/id.ts'],
    allowed: [...CONNECT, 'node:process', './errors.ts'],
  },
  {
    path: 'web/any-file.ts',
    refused: [
      ...VENDORS,
      ...CONNECT,
      'node:fs',
      'computesdk',
      'computesdk/server',
      '../client/index.ts',
      '../client/terminal.ts',
      '../gen/computesdk/v1/terminal_pb.ts',
      '../server/core/id.ts',
    ],
    allowed: ['computesdk/client', '@xterm/xterm', './sibling.ts'],
  },
  {
    path: 'proto/index.ts',
    refused: [...VENDORS, 'node:fs', '../server/core/id.ts', '../client/index.ts'],
    allowed: ['../gen/computesdk/v1/terminal_pb.ts'],
  },
  {
    path: 'server/core/any-file.ts',
    refused: [...VENDORS, ...CONNECT, '../rpc/connect-error.ts', '../../gen/computesdk/v1/a_pb.ts'],
    allowed: ['node:crypto', './clock.ts'],
  },
  {
    path: 'server/rpc/any-file.ts',
    refused: [...VENDORS, '../agent/config.ts', '../gateway/config.ts', '../driver/driver.ts'],
    allowed: [...CONNECT, '../core/clock.ts', '../../gen/computesdk/v1/error_pb.ts'],
  },
  {
    path: 'server/driver/any-file.ts',
    refused: [
      ...VENDORS,
      ...CONNECT,
      '../agent/terminal/session.ts',
      '../gateway/config.ts',
      '../rpc/connect-error.ts',
      '../../gen/computesdk/v1/a_pb.ts',
    ],
    allowed: [
      ...['node:net', './driver.ts', '../core/clock.ts'],
      ...['../agent/config.ts', '../agent/code-cache.ts'],
    ],
  },
  {
    path: 'server/agent/rpc/any-file.ts',
    refused: [...VENDORS, '../../gateway/config.ts', '../../driver/driver.ts'],
    allowed: [...CONNECT, '../terminal/session.ts', '../../rpc/connect-node.ts'],
  },
  {
    path: 'server/agent/main.ts',
    refused: [...VENDORS, '../gateway/config.ts', '../driver/driver.ts'],
    allowed: ['./config.ts', './terminal/session.ts'],
  },
  {
    path: 'server/gateway/rpc/any-file.ts',
    refused: [...VENDORS, '../../agent/terminal/session.ts', '../../../client/index.ts'],
    allowed: [...CONNECT, '../auth/caller.ts', '../../rpc/connect-error.ts'],
  },
  {
    path: 'server/gateway/main.ts',
    refused: [...VENDORS, '../agent/terminal/session.ts', '../../client/index.ts'],
    allowed: ['./config.ts', './auth/caller.ts', '../driver/driver.ts'],
  },
];
