import type { DescMethod } from '@bufbuild/protobuf';
import type { Open } from '../../../gen/computesdk/v1/frame_pb.ts';
import type { CallCredentials } from '../auth/authentication.ts';
import { type Access, authorize, refuseApiKeyFromBrowser } from '../auth/authorize.ts';
import type { Caller } from '../auth/caller.ts';
import type { SocketOrigin, SocketServices } from './socket-services.ts';

/** What opening a WebSocket needs: any credential of the sandbox. Its calls are checked one by one. */
const ANY_CREDENTIAL: Access = { kind: 'any_credential' };

/** Says who makes the calls on a WebSocket. */
export class SocketIdentity {
  readonly #services: SocketServices;
  readonly #from: SocketOrigin;
  #authorization: string | undefined;

  constructor(services: SocketServices, from: SocketOrigin) {
    this.#services = services;
    this.#from = from;
  }

  /** What calls are made with that bring nothing of their own. Undefined: the cookie. */
  get authorization(): string | undefined {
    return this.#authorization;
  }

  /** Takes a credential for the calls that follow. Empty: the cookie. */
  replace(authorization: string): void {
    this.#authorization = authorization === '' ? undefined : authorization;
  }

  /** Whose connection this is. Throws or rejects if the credential opens no call here. */
  ofConnection(): Caller | Promise<Caller> {
    return this.#authenticate(ANY_CREDENTIAL, this.#authorization);
  }

  /** Who makes a call: at once if the credential is known. Rejects if it does not allow the method. */
  ofCall(method: DescMethod, open: Open): Caller | Promise<Caller> {
    const own = open.headers.find(({ name }) => name.toLowerCase() === 'authorization');
    const access = this.#services.accessOf(method);
    if (!access) return Promise.reject(new Error(`${method.name} does not say who may call it`));
    try {
      return this.#authenticate(access, own?.value ?? this.#authorization);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  #authenticate(access: Access, authorization: string | undefined): Caller | Promise<Caller> {
    const { authentication, clock } = this.#services;
    const { cookie, origin, sandboxId, client } = this.#from;
    const credentials: CallCredentials = { authorization, cookie, origin, sandboxId, client };
    const check = (caller: Caller) => {
      refuseApiKeyFromBrowser(caller, origin);
      authorize(caller, access, sandboxId);
      return caller;
    };
    const known = authentication.authenticateCached(credentials, clock.now());
    if (known) return check(known);
    return authentication.authenticate(credentials, clock.now()).then(check);
  }
}
