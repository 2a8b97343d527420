/** Modules of which these functions alone are used, and none for the start: they are loaded at the first call. */
const LATE = {
  'node:v8': ['setFlagsFromString'],
  'node:zlib': ['gzip', 'gunzip', 'brotliCompress', 'brotliDecompress', 'crc32'],
};

/** Marks Node.js's own modules among what the bundle is made from. */
export const BUILTIN = 'builtin';

/**
 * Takes Node.js's own modules as they are. An `import` of one reads all that it exports, of `http` also a
 * client and a WebSocket that nobody wants: a third of the time until an agent answers.
 */
export const builtins = {
  name: 'builtins',
  setup(build) {
    build.onResolve({ filter: /^node:/ }, ({ path }) => ({ path, namespace: BUILTIN }));
    const take = (path) => `process.getBuiltinModule('${path}')`;
    // A library takes codes of errors from it, when there is one; with it comes all of TLS.
    build.onLoad({ filter: /^node:http2$/, namespace: BUILTIN }, ({ path }) => ({
      contents: `module.exports = { get constants() { return ${take(path)}.constants; } };`,
    }));
    const late = new RegExp(`^(${Object.keys(LATE).join('|')})$`);
    build.onLoad({ filter: late, namespace: BUILTIN }, ({ path }) => ({
      contents: `const late = (name) => (...parameters) => ${take(path)}[name](...parameters);
        for (const name of ${JSON.stringify(LATE[path])}) exports[name] = late(name);`,
    }));
    // An object on top of the module: who imports it copies what it has of its own, which is nothing.
    // To copy all of `util` means to load what it loads late.
    build.onLoad({ filter: /.*/, namespace: BUILTIN }, ({ path }) => ({
      contents: `const taken = ${take(path)}; module.exports = typeof taken === 'function' ? taken : Object.create(taken);`,
    }));
  },
};
