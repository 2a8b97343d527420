export type {
  CloseReason,
  ConnectionNotice,
  ConnectionState,
} from './connection/connection-state.ts';
export type { GapReason } from './connection/resumable-stream.ts';
export type { TransportKind } from './connection/sandbox-transport.ts';
export type { TokenFunction, TokenReason, TokenRequest } from './connection/token-function.ts';
export {
  type ClosableTransport,
  createSandboxTransport,
  type SandboxTransportOptions,
} from './create-transport.ts';
export type { EventMap, Listener, Unsubscribe } from './emitter.ts';
export { SandboxError, type SandboxErrorCode, type SandboxErrorOptions } from './errors.ts';
export type { GetUrlOptions } from './previews.ts';
export {
  type ConnectOptions,
  type CredentialExpiry,
  Sandbox,
  type SandboxEvents,
} from './sandbox.ts';
export {
  type EmitCustomOptions,
  type EmitErrorOptions,
  type EmitPortOptions,
  type EmitServerReadyOptions,
  SandboxSignals,
} from './sandbox-signals.ts';
export type { SignOutOptions } from './sign-out.ts';
export type {
  AnySignal,
  CustomSignal,
  ErrorSignal,
  OpenPort,
  PortSignal,
  ServerReadySignal,
  SignalEvents,
  SignalGap,
} from './signal-events.ts';
export type { SignalOption } from './signal-option.ts';
export { Signals } from './signals.ts';
export { Terminal, type TerminalStatus } from './terminal.ts';
export type {
  TerminalDataInfo,
  TerminalEvents,
  TerminalExit,
  TerminalGap,
  TerminalSize,
} from './terminal-events.ts';
export { type TerminalCreateOptions, Terminals } from './terminals.ts';
export { Watcher } from './watcher.ts';
export type {
  ContentOmission,
  WatcherChange,
  WatcherChangeKind,
  WatcherEnd,
  WatcherEvents,
  WatcherGap,
} from './watcher-events.ts';
export { type WatcherCreateOptions, Watchers } from './watchers.ts';
