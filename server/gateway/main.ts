import { writeSync } from 'node:fs';
import { systemClock } from '../core/clock.ts';
import { DomainError } from '../core/domain-error.ts';
import { jsonLogger, type Logger } from '../core/log.ts';
import { redact } from '../core/redact.ts';
import { type GatewayConfig, readConfig } from './config.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { type KeyCommandOptions, removeSigningKey, rotateSigningKey } from './key-commands.ts';
import { SETTINGS, unknownSettings } from './settings.ts';
import { readVersion } from './version.ts';

const STDOUT = 1;
const STDERR = 2;

/** Runs a gateway until a signal ends it. SIGINT ends the programs in all sandboxes too; SIGTERM leaves them. */
async function main(): Promise<void> {
  const config = readConfig(process.env, process.cwd());
  const write = (line: string) => void process.stderr.write(line);
  const logger = jsonLogger({ write, now: systemClock.now, level: config.logLevel });
  for (const warning of unknownSettings(Object.keys(process.env))) logger.warn(warning);
  const gateway = await startGateway(config, { logger });
  stopOnSignals(gateway);
  void gateway.failed.then((cause) => fail(cause));
  process.stdout.write(`computesdk gateway ready at ${gateway.url}\n`);
  showApiKey(gateway, logger);
  await showStartLink(gateway, config, logger);
}

function stopOnSignals(gateway: Gateway): void {
  let isStopping = false;
  const stop = (endAgents: boolean) => {
    // Whoever asks twice means it.
    if (isStopping) process.exit(1);
    isStopping = true;
    gateway.close({ endAgents }).then(() => process.exit(0), fail);
  };
  process.on('SIGINT', () => stop(true));
  process.on('SIGTERM', () => stop(false));
}

/** Shows the kept key to a person only: whatever collects the output must not hold it. */
function showApiKey({ apiKey }: Gateway, logger: Logger): void {
  if (!apiKey) return;
  if (process.stdout.isTTY)
    process.stdout.write(`API key (kept in ${apiKey.file}): ${apiKey.text}\n`);
  else logger.info('the API key is in a file', { file: apiKey.file });
}

/**
 * Shows a way to a terminal. Whoever reads the link first can use it, so a gateway that others can
 * reach shows it to a person only, not to whatever collects its output.
 */
async function showStartLink(
  gateway: Gateway,
  { printLink }: GatewayConfig,
  logger: Logger,
): Promise<void> {
  if (!(printLink ?? (process.stdout.isTTY || gateway.isLoopbackOnly))) {
    logger.info('COMPUTESDK_PRINT_LINK=1 makes a start print a link that opens a terminal');
    return;
  }
  try {
    const link = await gateway.createStartLink();
    process.stdout.write(
      `open ${link} to use a terminal in the browser (once, within 15 minutes)\n`,
    );
  } catch (error) {
    // The gateway serves all the same.
    const problem = error instanceof Error ? error.message : String(error);
    logger.warn('there is no link that opens a terminal', { problem });
  }
}

/** Does one thing with the data directory, says what, and ends. */
async function command(run: (options: KeyCommandOptions) => Promise<string>): Promise<void> {
  const config = readConfig(process.env, process.cwd());
  const write = (line: string) => void process.stderr.write(line);
  const logger = jsonLogger({ write, now: systemClock.now, level: config.logLevel });
  writeSync(STDOUT, `${await run({ config, clock: systemClock, logger })}\n`);
}

function help(): string {
  const width = Math.max(...SETTINGS.map(({ name }) => name.length)) + 2;
  const lines = SETTINGS.map(
    ({ name, meaning, fallback }) =>
      `  ${name.padEnd(width)}${meaning}\n  ${''.padEnd(width)}default: ${fallback}`,
  );
  return `computesdk gateway ${readVersion()}

Usage: node server/gateway/main.ts [--help | --version | --rotate-signing-key | --remove-signing-key <id>]

  --rotate-signing-key        signs new session tokens with a new key; older ones stay valid
  --remove-signing-key <id>   destroys a key that leaked, and revokes what it signed; the ids are in
                              /.well-known/jwks.json. Both work beside a running gateway.

Settings are environment variables:

${lines.join('\n')}
`;
}

function fail(error: unknown): never {
  const isExpected = error instanceof DomainError;
  const text =
    isExpected || !(error instanceof Error)
      ? String(error instanceof Error ? error.message : error)
      : error.stack;
  writeSync(STDERR, `computesdk gateway: ${redact(text ?? '')}\n`);
  process.exit(1);
}

const [flag, argument] = process.argv.slice(2);
switch (flag) {
  case undefined:
    await main().catch(fail);
    break;
  case '--help':
  case '-h':
    writeSync(STDOUT, help());
    break;
  case '--rotate-signing-key':
    await command((options) => rotateSigningKey(options)).catch(fail);
    break;
  case '--remove-signing-key':
    await command((options) => removeSigningKey(options, argument ?? '')).catch(fail);
    break;
  case '--version':
  case '-v':
    writeSync(STDOUT, `${readVersion()}\n`);
    break;
  default:
    fail(new DomainError('BAD_SETTING', `${flag} is not known; see --help`));
}
