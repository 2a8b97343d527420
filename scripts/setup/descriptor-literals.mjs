import { readFile } from 'node:fs/promises';
import { inRoot } from './paths.mjs';

/** How generated code carries the descriptor of its file, and those of the files that it imports. */
const FILE = /\bfileDesc\("([\w+/]+=*)"(?:,\s*\[([^\]]*)\])?\)/;
/** Options of methods say who may call them, which the gateway looks after: they stay out. */
const OPTIONS = /\s*\bfile_computesdk_v1_access\b,?/;
const DESCRIBE = inRoot('server', 'agent', 'rpc', 'describe-file.ts');

/**
 * Generated code carries descriptors in Protobuf's binary form. To read that takes the descriptor of
 * descriptors, which makes itself from 200 parts and by that takes an eighth of the time until an agent
 * answers. Here they are read when the agent is built, and carried as what comes of it.
 */
export const descriptorLiterals = {
  name: 'descriptor literals',
  setup(build) {
    build.onLoad({ filter: /_pb\.[jt]s$/ }, async ({ path }) => {
      const source = await readFile(path, 'utf8');
      const [call, binary, imports = ''] = FILE.exec(source) ?? [];
      if (!call) return undefined;
      const literal = await literalOf(binary);
      const needed = imports.replace(OPTIONS, '');
      const contents = source.replace(call, () => `describeFile(${literal}, [${needed}])`);
      return {
        contents: `import { describeFile } from ${JSON.stringify(DESCRIBE)};\n${contents}`,
        loader: path.endsWith('.ts') ? 'ts' : 'js',
      };
    });
  },
};

/** Makes the descriptor of descriptors. In a bundle it means that something asks for options, or reads a descriptor. */
const LEFT_OUT = /\/codegenv2\/boot\.js$/;

/** Throws when a bundle needs what literals leave out. Takes what esbuild says of how it was made. */
export function checkLiterals({ outputs }) {
  for (const [path, { bytesInOutput }] of Object.values(outputs).flatMap(({ inputs }) =>
    Object.entries(inputs),
  ))
    if (bytesInOutput > 0 && LEFT_OUT.test(path))
      throw new Error(
        `${path} is in a bundle that has its descriptors as literals, without options`,
      );
}

/** An expression whose value is the file's descriptor. */
async function literalOf(binary) {
  const { fromBinary } = await import('@bufbuild/protobuf');
  const { base64Decode } = await import('@bufbuild/protobuf/wire');
  const { FileDescriptorProtoSchema } = await import('@bufbuild/protobuf/wkt');
  const file = fromBinary(FileDescriptorProtoSchema, base64Decode(binary));
  await nameForJson(file.messageType);
  const writer = new LiteralWriter();
  const literal = writer.write(file);
  return `(() => { ${writer.defaults()} return ${literal}; })()`;
}

/** The generator leaves out names that follow from a field's name. `fileDesc`, which is not called here, adds them. */
async function nameForJson(messages) {
  const { protoCamelCase } = await import('@bufbuild/protobuf/reflect');
  for (const { field: fields, nestedType } of messages) {
    for (const field of fields)
      if (!Object.hasOwn(field, 'jsonName')) field.jsonName = protoCamelCase(field.name);
    await nameForJson(nestedType);
  }
}

/** Writes messages. What one does not have set it inherits from its type's defaults: so it is told apart. */
class LiteralWriter {
  #names = new Map();
  #defaults = [];

  write(value) {
    if (Array.isArray(value)) return `[${value.map((item) => this.write(item)).join()}]`;
    if (typeof value === 'object' && value !== null && '$typeName' in value) {
      const { $unknown: _options, ...known } = value;
      const fields = Object.entries(known).map(([name, field]) => `${name}:${this.write(field)}`);
      return `{__proto__:${this.#nameOf(value)},${fields.join()}}`;
    }
    if (!['string', 'number', 'boolean'].includes(typeof value))
      throw new TypeError(`${String(value)} of a descriptor has no literal`);
    return JSON.stringify(value);
  }

  /** Declares the defaults of all types that were written. */
  defaults() {
    return this.#defaults.join('');
  }

  #nameOf(message) {
    const { $typeName } = message;
    const known = this.#names.get($typeName);
    if (known) return known;
    const name = `d${this.#names.size}`;
    this.#names.set($typeName, name);
    this.#defaults.push(`const ${name}=${JSON.stringify(Object.getPrototypeOf(message))};`);
    return name;
  }
}
