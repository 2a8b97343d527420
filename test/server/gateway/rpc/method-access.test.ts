import {
  clone,
  create,
  createFileRegistry,
  type DescMethod,
  setExtension,
} from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, MethodOptionsSchema } from '@bufbuild/protobuf/wkt';
import { expect, test } from 'vitest';
import { type Access, AccessSchema, access } from '../../../../gen/computesdk/v1/access_pb.ts';
import {
  AuthService,
  file_computesdk_v1_auth_service,
} from '../../../../gen/computesdk/v1/auth_service_pb.ts';
import { Health } from '../../../../gen/grpc/health/v1/health_pb.ts';
import { ServerReflection } from '../../../../gen/grpc/reflection/v1/reflection_pb.ts';
import { accessOf } from '../../../../server/gateway/rpc/method-access.ts';
import { allMethods } from './services.ts';

/** AuthService.WhoAmI, as it were with this option. */
function withOption(caller: Access['caller'] | undefined): DescMethod {
  const proto = clone(FileDescriptorProtoSchema, file_computesdk_v1_auth_service.proto);
  const method = proto.service[0]?.method[0];
  if (!method) throw new Error('AuthService has no method');
  method.options = create(MethodOptionsSchema);
  if (caller) setExtension(method.options, access, create(AccessSchema, { caller }));
  const registry = createFileRegistry(proto, (name) =>
    file_computesdk_v1_auth_service.dependencies.find(
      ({ proto: { name: known } }) => known === name,
    ),
  );
  const found = registry.getService(AuthService.typeName)?.methods[0];
  if (!found) throw new Error('the file has no service');
  return found;
}

test('every method of the contract says who may call it', async () => {
  const methods = await allMethods();
  expect(methods.length).toBeGreaterThan(20);
  for (const method of methods) expect(accessOf(method), method.name).toBeDefined();
});

test('what lists and what creates credentials and sandboxes is for API keys only', async () => {
  const open = (await allMethods()).filter((method) => accessOf(method)?.kind !== 'api_key');
  const services = new Set(open.map((method) => method.parent.name));
  expect(services).not.toContain('SandboxService');
  expect(services).not.toContain('SessionTokenService');
});

test('health and reflection are for everybody', () => {
  for (const service of [Health, ServerReflection]) {
    for (const method of service.methods) expect(accessOf(method)).toBeUndefined();
  }
});

test.each([
  ['no option', undefined],
  ['an option that is not set', { case: undefined }],
  ['a scope that does not exist', { case: 'scope', value: 'root' }],
  ['an empty scope', { case: 'scope', value: '' }],
  ['a flag that says no', { case: 'anyCredential', value: false }],
  ['an API key flag that says no', { case: 'apiKey', value: false }],
] as const)('a method with %s may be called by nobody', (_name, caller) => {
  expect(() => accessOf(withOption(caller))).toThrow('does not say who may call it');
});

test('a method with an option is read as it stands', () => {
  expect(accessOf(withOption({ case: 'anyCredential', value: true }))).toEqual({
    kind: 'any_credential',
  });
  expect(accessOf(withOption({ case: 'scope', value: 'files:read' }))).toEqual({
    kind: 'scope',
    scope: 'files:read',
  });
});
