import { createFileRegistry, type DescFile } from '@bufbuild/protobuf';
import type { GenFile } from '@bufbuild/protobuf/codegenv2';
import type { FileDescriptorProto } from '@bufbuild/protobuf/wkt';

/**
 * In the place of `fileDesc` in the agent's bundle, where descriptors have been read when it was built.
 * What generated code describes of its file, and of the files that it imports.
 */
export function describeFile(proto: FileDescriptorProto, imports: readonly DescFile[]): GenFile {
  proto.dependency = imports.map((file) => file.proto.name);
  const registry = createFileRegistry(proto, (name) =>
    imports.find((file) => file.proto.name === name),
  );
  const file = registry.getFile(proto.name);
  if (!file) throw new Error(`${proto.name} does not describe itself`);
  return file;
}
