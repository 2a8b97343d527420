import type { DescMethod, DescService } from '@bufbuild/protobuf';
import {
  type ConnectRouter,
  createConnectRouter,
  createMethodImplSpec,
  createServiceImplSpec,
  type MethodImpl,
  type MethodImplSpec,
} from '@connectrpc/connect';

/** What serves each method, by the path of its calls. */
export type FrameRoutes = ReadonlyMap<string, MethodImplSpec>;

/** The routes that one registration makes, the same that serves HTTP. */
export function frameRoutes(register: (router: ConnectRouter) => void): FrameRoutes {
  const routes = new Map<string, MethodImplSpec>();
  const add = (spec: MethodImplSpec) => {
    routes.set(`/${spec.method.parent.typeName}/${spec.method.name}`, spec);
  };
  const router: ConnectRouter = {
    handlers: createConnectRouter().handlers,
    service(service: DescService, implementation: object) {
      const { methods } = createServiceImplSpec(service, implementation);
      for (const spec of Object.values(methods)) add(spec);
      return router;
    },
    rpc<M extends DescMethod>(method: M, implementation: MethodImpl<M>) {
      add(createMethodImplSpec(method, implementation));
      return router;
    },
  };
  register(router);
  return routes;
}
