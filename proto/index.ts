/**
 * The generated types and descriptors of the public contract, for clients that speak the protocol
 * themselves: `import { TerminalService } from 'computesdk/proto'`.
 */
export * from '../gen/computesdk/v1/access_pb.ts';
export * from '../gen/computesdk/v1/auth_service_pb.ts';
export * from '../gen/computesdk/v1/error_pb.ts';
export * from '../gen/computesdk/v1/frame_pb.ts';
export * from '../gen/computesdk/v1/magic_link_pb.ts';
export * from '../gen/computesdk/v1/magic_link_service_pb.ts';
export * from '../gen/computesdk/v1/preview_service_pb.ts';
export * from '../gen/computesdk/v1/sandbox_pb.ts';
export * from '../gen/computesdk/v1/sandbox_service_pb.ts';
export * from '../gen/computesdk/v1/session_token_pb.ts';
export * from '../gen/computesdk/v1/session_token_service_pb.ts';
export * from '../gen/computesdk/v1/signal_pb.ts';
export * from '../gen/computesdk/v1/signal_service_pb.ts';
export * from '../gen/computesdk/v1/stream_pb.ts';
export * from '../gen/computesdk/v1/terminal_pb.ts';
export * from '../gen/computesdk/v1/terminal_service_pb.ts';
export * from '../gen/computesdk/v1/watcher_pb.ts';
export * from '../gen/computesdk/v1/watcher_service_pb.ts';
