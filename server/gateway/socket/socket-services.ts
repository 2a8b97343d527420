import type { Socket } from 'node:net';
import type { DescMethod } from '@bufbuild/protobuf';
import type { ClientAddress } from '../../core/client-address.ts';
import type { Clock } from '../../core/clock.ts';
import type { Logger } from '../../core/log.ts';
import type { MethodTable } from '../../rpc/method-table.ts';
import type { Authentication } from '../auth/authentication.ts';
import type { Access } from '../auth/authorize.ts';
import type { Caller } from '../auth/caller.ts';
import type { LiveCallRegistry } from '../proxy/live-call-registry.ts';
import type { GatewayFrames } from '../rpc/gateway-rpc.ts';
import type { AgentEndpoint } from '../sandbox/agents.ts';
import type { WebSocket } from './web-socket.ts';

/** What all WebSockets share. */
export type SocketServices = {
  readonly authentication: Authentication;
  readonly accessOf: (method: DescMethod) => Access | undefined;
  /** The methods that agents serve. */
  readonly agentMethods: MethodTable;
  /** What the gateway itself serves. */
  readonly gatewayFrames: GatewayFrames;
  /** Throws NOT_FOUND or EXPIRED unless the sandbox is there and the caller may see it. */
  readonly requireSandbox: (sandboxId: string, caller: Caller) => void;
  /** Finds the sandbox's agent or starts it. */
  readonly endpoint: (sandboxId: string, signal: AbortSignal) => Promise<AgentEndpoint>;
  readonly calls: LiveCallRegistry;
  readonly clock: Clock;
  readonly log: Logger;
};

/** What is known of a WebSocket from the request that opened it. */
export type SocketOrigin = {
  readonly sandboxId: string;
  readonly webSocket: WebSocket;
  readonly socket: Socket;
  /** The Cookie header, where the page may use it. */
  readonly cookie: string | undefined;
  readonly origin: string | undefined;
  readonly client: () => ClientAddress;
  /** The client has proved who it is, or is gone. May be called more than once. */
  readonly onKnown: () => void;
};
