import type { DescMethod, DescService } from '@bufbuild/protobuf';

/** The methods of some services, by the path of their calls. */
export class MethodTable {
  readonly services: readonly DescService[];
  readonly #methods = new Map<string, DescMethod>();

  constructor(services: readonly DescService[]) {
    this.services = services;
    for (const service of services) {
      for (const method of service.methods) {
        this.#methods.set(`/${service.typeName}/${method.name}`, method);
      }
    }
  }

  /** The method that `path` calls. The path has no query. */
  find(path: string): DescMethod | undefined {
    return this.#methods.get(path);
  }
}

/** Whether `path` has the form of a call: `/<package.Service>/<Method>`. */
export function isCallPath(path: string): boolean {
  return /^\/[A-Za-z_][\w.]*\/[A-Za-z_]\w*$/.test(path);
}
