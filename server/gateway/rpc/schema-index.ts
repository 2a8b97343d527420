import { type AnyDesc, type DescFile, type DescMessage, toBinary } from '@bufbuild/protobuf';
import { nestedTypes } from '@bufbuild/protobuf/reflect';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';

/** Finds what some `.proto` files declare, and the files that they import. */
export class SchemaIndex {
  readonly #filesByName = new Map<string, DescFile>();
  readonly #filesBySymbol = new Map<string, DescFile>();
  /** Files of extensions, by the extended message and then by number. */
  readonly #extensions = new Map<string, Map<number, DescFile>>();

  constructor(files: readonly DescFile[]) {
    for (const file of files) this.#addFile(file);
  }

  /** The file with this path, for example `google/protobuf/duration.proto`. */
  fileByName(name: string): DescFile | undefined {
    return this.#filesByName.get(nameOf(name));
  }

  /** The file that declares a fully qualified name. */
  fileBySymbol(symbol: string): DescFile | undefined {
    return this.#filesBySymbol.get(symbol);
  }

  /** The file that declares the extension of a message with this number. */
  fileByExtension(message: string, number: number): DescFile | undefined {
    return this.#extensions.get(message)?.get(number);
  }

  /** The numbers of all extensions of a message. Undefined when there is no such message. */
  extensionNumbers(message: string): number[] | undefined {
    const numbers = this.#extensions.get(message);
    if (numbers) return [...numbers.keys()].sort((a, b) => a - b);
    return this.#filesBySymbol.has(message) ? [] : undefined;
  }

  #addFile(file: DescFile): void {
    const name = nameOf(file.proto.name);
    if (this.#filesByName.has(name)) return;
    this.#filesByName.set(name, file);
    for (const desc of nestedTypes(file)) {
      for (const symbol of symbolsOf(desc)) this.#filesBySymbol.set(symbol, file);
      if (desc.kind === 'extension') this.#addExtension(desc.extendee, desc.number, file);
    }
    for (const imported of file.dependencies) this.#addFile(imported);
  }

  #addExtension(extendee: DescMessage, number: number, file: DescFile): void {
    const numbers = this.#extensions.get(extendee.typeName) ?? new Map<number, DescFile>();
    this.#extensions.set(extendee.typeName, numbers.set(number, file));
  }
}

/**
 * A file and all that it imports, serialized, imports first. Leaves out the files whose names are in
 * `sent`, and adds the others to it.
 */
export function serializeWithImports(file: DescFile, sent: Set<string>): Uint8Array<ArrayBuffer>[] {
  if (sent.has(file.proto.name)) return [];
  sent.add(file.proto.name);
  const imports = file.dependencies.flatMap((imported) => serializeWithImports(imported, sent));
  return [...imports, toBinary(FileDescriptorProtoSchema, file.proto)];
}

/** Descriptors call a file by its path, with the extension. */
function nameOf(path: string): string {
  return path.endsWith('.proto') ? path : `${path}.proto`;
}

function symbolsOf(desc: AnyDesc): string[] {
  switch (desc.kind) {
    case 'message':
      return [desc.typeName, ...desc.members.map((member) => `${desc.typeName}.${member.name}`)];
    case 'service':
      return [desc.typeName, ...desc.methods.map((method) => `${desc.typeName}.${method.name}`)];
    case 'enum': {
      // The values of an enum live beside it, not in it.
      const scope = desc.typeName.slice(0, -desc.name.length);
      return [desc.typeName, ...desc.values.map((value) => `${scope}${value.name}`)];
    }
    case 'extension':
      return [desc.typeName];
    default:
      return [];
  }
}
