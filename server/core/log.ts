/** The values of a log line, beside its message. Never a secret, an input, or output bytes. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Writes structured log lines. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: LogFields): Logger;
}

/** How urgent a line is; lines below the configured level are dropped. */
export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

/** The levels, least urgent first. */
export const LOG_LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export type JsonLoggerOptions = {
  /** Takes one line, newline included. */
  readonly write: (line: string) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly level: LogLevel;
  readonly fields?: LogFields;
};

/** A logger that writes one JSON object a line. JSON escapes control characters, so no value can forge a line. */
export function jsonLogger(options: JsonLoggerOptions): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level);
  const line = (level: LogLevel, message: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    const time = new Date(options.now()).toISOString();
    const entry = { time, level, message, ...options.fields, ...fields };
    options.write(`${JSON.stringify(entry, plain)}\n`);
  };
  return {
    debug: (message, fields) => line('debug', message, fields),
    info: (message, fields) => line('info', message, fields),
    warn: (message, fields) => line('warn', message, fields),
    error: (message, fields) => line('error', message, fields),
    child: (fields) => jsonLogger({ ...options, fields: { ...options.fields, ...fields } }),
  };
}

/** A logger that drops everything. */
export const silentLogger: Logger = jsonLogger({ write: () => {}, now: () => 0, level: 'error' });

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (!(value instanceof Error)) return value;
  return { name: value.name, message: value.message, stack: value.stack, cause: value.cause };
}
