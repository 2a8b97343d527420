import { create } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  PreviewHost,
  PreviewVisibility,
  SandboxSchema,
  SandboxStatus,
} from '../../../gen/computesdk/v1/sandbox_pb.ts';
import type {
  CreateSandboxRequest,
  FindOrCreateSandboxRequest,
  SandboxService,
} from '../../../gen/computesdk/v1/sandbox_service_pb.ts';
import type { Sandbox } from '../sandbox/sandbox.ts';
import type { Sandboxes } from '../sandbox/sandbox-service.ts';
import { ownerOf } from './call-context.ts';

/** The statuses, by the domain's. */
const STATUS: Readonly<Record<Sandbox['status'], SandboxStatus>> = {
  running: SandboxStatus.RUNNING,
  failed: SandboxStatus.FAILED,
  destroying: SandboxStatus.DESTROYED,
};

export type SandboxServiceOptions = {
  readonly sandboxes: Sandboxes;
  /** The base address of a sandbox's services. */
  readonly sandboxUrl: (sandboxId: string) => string;
};

/** Serves `computesdk.v1.SandboxService`. */
export function sandboxService(options: SandboxServiceOptions): ServiceImpl<typeof SandboxService> {
  const { sandboxes, sandboxUrl } = options;
  const toProto = (sandbox: Sandbox) =>
    create(SandboxSchema, {
      id: sandbox.id,
      url: sandboxUrl(sandbox.id),
      name: sandbox.name,
      namespace: sandbox.namespace,
      status: STATUS[sandbox.status],
      metadata: { ...sandbox.metadata },
      createdAt: timestampFromMs(sandbox.createdAt),
      expiresAt: timestampFromMs(sandbox.expiresAt),
      driver: sandbox.driver,
      failure: sandbox.failure,
      previews:
        sandbox.previews === 'public' ? PreviewVisibility.PUBLIC : PreviewVisibility.PRIVATE,
      publicPorts: [...sandbox.publicPorts],
      previewHost:
        sandbox.previewHost === 'preserved' ? PreviewHost.PRESERVED : PreviewHost.LOCALHOST,
    });
  return {
    async createSandbox(request, context) {
      const sandbox = await sandboxes.create(ownerOf(context), toCreate(request), context.signal);
      return { sandbox: toProto(sandbox) };
    },
    async findOrCreateSandbox(request, context) {
      const owner = ownerOf(context);
      const found = await sandboxes.findOrCreate(owner, toCreate(request), context.signal);
      return { sandbox: toProto(found.sandbox), created: found.created };
    },
    async findSandbox({ name, namespace }, context) {
      const sandbox = await sandboxes.find(ownerOf(context), { name, namespace });
      return sandbox ? { sandbox: toProto(sandbox) } : {};
    },
    getSandbox({ sandboxId }, context) {
      return { sandbox: toProto(sandboxes.get(ownerOf(context), sandboxId)) };
    },
    async listSandboxes({ namespace, pageSize, pageToken }, context) {
      const list = await sandboxes.list(ownerOf(context), { namespace, pageSize, pageToken });
      return { sandboxes: list.sandboxes.map(toProto), nextPageToken: list.nextPageToken };
    },
    async destroySandbox({ sandboxId }, context) {
      await sandboxes.destroy(ownerOf(context), sandboxId);
      return {};
    },
    async extendSandboxTimeout({ sandboxId, duration }, context) {
      const ms = duration && durationMs(duration);
      return { sandbox: toProto(await sandboxes.extend(ownerOf(context), sandboxId, ms)) };
    },
  };
}

function toCreate(request: CreateSandboxRequest | FindOrCreateSandboxRequest) {
  const { requestId, name, namespace, metadata, timeout, previews, publicPorts, previewHost } =
    request;
  return {
    requestId,
    name,
    namespace,
    metadata,
    previews: previews === PreviewVisibility.PUBLIC ? ('public' as const) : ('private' as const),
    publicPorts,
    previewHost:
      previewHost === PreviewHost.PRESERVED ? ('preserved' as const) : ('localhost' as const),
    ...(timeout && { timeoutMs: durationMs(timeout) }),
  };
}
