import { isSecretName, REDACTED, redact } from './redact.ts';

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

/** The longest text of a line, in characters: a message, a value, a stack. */
const MAX_TEXT_CHARS = 8_192;
/** How deep the causes of an error are followed; one may be its own. */
const MAX_CAUSES = 5;

/**
 * A logger that writes one JSON object a line. JSON escapes control characters, so no value can
 * forge a line. What looks like a credential is taken out: errors of libraries quote their input.
 */
export function jsonLogger(options: JsonLoggerOptions): Logger {
  const threshold = LOG_LEVELS.indexOf(options.level);
  const line = (level: LogLevel, message: string, fields?: LogFields) => {
    if (LOG_LEVELS.indexOf(level) < threshold) return;
    const time = new Date(options.now()).toISOString();
    const entry = { time, level, message, ...options.fields, ...fields };
    options.write(`${stringify(entry)}\n`);
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

function stringify(entry: LogFields): string {
  try {
    return JSON.stringify(entry, plain);
  } catch (error) {
    // A value that refers to itself, or whose toJSON throws, must not fail the one who logs.
    const problem = error instanceof Error ? error.message : 'a value cannot be written';
    return JSON.stringify({
      time: entry['time'],
      level: entry['level'],
      message: entry['message'],
      problem,
    });
  }
}

function plain(name: string, value: unknown): unknown {
  switch (typeof value) {
    case 'string':
      return isSecretName(name) ? REDACTED : clean(value);
    case 'bigint':
      return value.toString();
    case 'object':
      if (value instanceof Error) return plainError(value, MAX_CAUSES);
      return value !== null && isSecretName(name) ? REDACTED : value;
    default:
      return value;
  }
}

function plainError({ name, message, stack, cause }: Error, causes: number): LogFields {
  const next =
    cause instanceof Error ? (causes > 0 ? plainError(cause, causes - 1) : undefined) : cause;
  return { name, message, stack, cause: next };
}

function clean(text: string): string {
  const short = text.length > MAX_TEXT_CHARS ? `${text.slice(0, MAX_TEXT_CHARS)}…` : text;
  return redact(short);
}
