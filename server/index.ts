export { DomainError, type DomainErrorOptions, type Reason } from './core/domain-error.ts';
export { jsonLogger, type LogFields, type Logger, type LogLevel } from './core/log.ts';
export type { LoadedApiKey } from './gateway/auth/api-key.ts';
export {
  type DriverName,
  type EgressName,
  type Environment,
  type GatewayConfig,
  readConfig,
} from './gateway/config.ts';
export { type Gateway, type GatewayDependencies, startGateway } from './gateway/gateway.ts';
