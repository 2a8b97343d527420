import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { DescMethod, DescService } from '@bufbuild/protobuf';

const GENERATED = join(import.meta.dirname, '../../../../gen/computesdk/v1');

/** Every service of the public contract, found by its file: none can be forgotten. */
async function allServices(): Promise<DescService[]> {
  const files = (await readdir(GENERATED)).filter((name) => name.endsWith('_service_pb.ts'));
  const modules = await Promise.all(
    files.map((name): Promise<Record<string, unknown>> => import(join(GENERATED, name))),
  );
  return modules.flatMap((module) => Object.values(module)).filter(isService);
}

/** Every method of the public contract. */
export async function allMethods(): Promise<DescMethod[]> {
  return (await allServices()).flatMap((service) => service.methods);
}

function isService(value: unknown): value is DescService {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'service';
}
