import type { Client } from '@connectrpc/connect';
import type { AuthService } from '../gen/computesdk/v1/auth_service_pb.ts';
import type { Connection } from './connection/connection.ts';
import type { Credential } from './connection/credential.ts';
import { retry } from './connection/retry.ts';
import { isCredentialRefusal, SandboxError, toSandboxError } from './errors.ts';
import type { SignalOption } from './signal-option.ts';

/** How far to sign out. */
export interface SignOutOptions extends SignalOption {
  /** Whether to leave every sandbox that this browser was signed in to. Default: only this one. */
  readonly all?: boolean | undefined;
}

/** Gives the browser's cookie up. The connection goes on if that fails. */
export async function signOut(
  { all = false, signal }: SignOutOptions,
  parts: {
    readonly auth: Client<typeof AuthService>;
    readonly connection: Connection;
    readonly credential: Credential;
  },
): Promise<void> {
  const { auth, connection, credential } = parts;
  if (credential.kind !== 'cookie') {
    throw new SandboxError(
      'failed_precondition',
      'only a browser that a magic link signed in can sign out: have the backend revoke this credential (sandbox.sessionToken.revoke)',
    );
  }
  let attempts = 0;
  // The end of the streams may overtake the answer.
  connection.leave();
  try {
    // Not through the connection, which the end of the credential closes.
    await retry(
      (attempt) => {
        attempts += 1;
        return auth.signOut({ all }, { signal: attempt });
      },
      connection.clock,
      { signal },
    );
  } catch (error) {
    const failure = toSandboxError(error);
    // The answer to an earlier attempt was lost, or there was nothing left to sign out of here.
    if (isCredentialRefusal(failure) && (attempts > 1 || !all)) return;
    connection.stay();
    throw failure;
  }
}
