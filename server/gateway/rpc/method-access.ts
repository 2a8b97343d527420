import { type DescMethod, getOption, hasOption } from '@bufbuild/protobuf';
import { access } from '../../../gen/computesdk/v1/access_pb.ts';
import { DomainError } from '../../core/domain-error.ts';
import { isScope } from '../../core/principal.ts';
import type { Access } from '../auth/authorize.ts';

/** The packages whose methods need no credential: they tell nothing of anybody's sandboxes. */
const PUBLIC_PACKAGES: ReadonlySet<string> = new Set([
  'grpc.health.v1',
  'grpc.reflection.v1',
  'grpc.reflection.v1alpha',
]);

/** What {@link accessOf} found. Reading an option of a descriptor decodes it, for every call. */
const known = new WeakMap<DescMethod, { readonly access: Access | undefined }>();

/**
 * Who may call a method, as its descriptor says. Undefined: everybody, without a credential. Throws
 * INTERNAL for a method that should say and does not, so that nobody may call it.
 */
export function accessOf(method: DescMethod): Access | undefined {
  const before = known.get(method);
  if (before) return before.access;
  const found = readAccess(method);
  known.set(method, { access: found });
  return found;
}

function readAccess(method: DescMethod): Access | undefined {
  if (PUBLIC_PACKAGES.has(method.parent.file.proto.package)) return undefined;
  const { caller } = hasOption(method, access) ? getOption(method, access) : { caller: undefined };
  switch (caller?.case) {
    case 'apiKey':
      if (caller.value) return { kind: 'api_key' };
      break;
    case 'scope':
      if (isScope(caller.value)) return { kind: 'scope', scope: caller.value };
      break;
    case 'anyCredential':
      if (caller.value) return { kind: 'any_credential' };
      break;
    case undefined:
      break;
  }
  throw new DomainError(
    'INTERNAL',
    `${method.parent.typeName}/${method.name} does not say who may call it`,
  );
}
