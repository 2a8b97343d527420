import { create } from '@bufbuild/protobuf';
import { durationFromMs, durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import { MagicLinkSchema } from '../../../gen/computesdk/v1/magic_link_pb.ts';
import type { MagicLinkService } from '../../../gen/computesdk/v1/magic_link_service_pb.ts';
import { checkPage } from '../../core/bounds.ts';
import type { MagicLink } from '../auth/magic-link.ts';
import type { MagicLinks } from '../auth/magic-links.ts';
import { ownerOf } from './call-context.ts';

export type MagicLinkServiceOptions = {
  readonly links: MagicLinks;
  /** The address of a secret. */
  readonly linkUrl: (secret: string) => string;
};

/** Serves `computesdk.v1.MagicLinkService`. */
export function magicLinkService(
  options: MagicLinkServiceOptions,
): ServiceImpl<typeof MagicLinkService> {
  const { links, linkUrl } = options;
  return {
    async createMagicLink(request, context) {
      const { requestId, sandboxId, redirectUrl, description, scopes } = request;
      const { expiresIn, tokenExpiresIn } = request;
      const { link, secret } = await links.create(ownerOf(context), {
        ...{ requestId, sandboxId, redirectUrl, description, scopes },
        ...(expiresIn && { expiresInMs: durationMs(expiresIn) }),
        ...(tokenExpiresIn && { tokenExpiresInMs: durationMs(tokenExpiresIn) }),
      });
      return { magicLink: toProto(link), url: linkUrl(secret) };
    },
    async listMagicLinks({ sandboxId, pageSize, pageToken }, context) {
      const page = checkPage({ pageSize, pageToken });
      const list = await links.list(ownerOf(context), { sandboxId, page });
      return { magicLinks: list.links.map(toProto), nextPageToken: list.nextPageToken };
    },
    async revokeMagicLink({ sandboxId, magicLinkId: linkId }, context) {
      await links.revoke(ownerOf(context), { sandboxId, linkId });
      return {};
    },
  };
}

function toProto(link: MagicLink) {
  const { endedAt, endReason } = link;
  return create(MagicLinkSchema, {
    id: link.id,
    sandboxId: link.sandboxId,
    redirectUrl: link.redirectUrl,
    description: link.description,
    scopes: [...link.scopes],
    tokenExpiresIn: durationFromMs(link.tokenExpiresInMs),
    createdAt: timestampFromMs(link.createdAt),
    expiresAt: timestampFromMs(link.expiresAt),
    ...(endedAt !== null && endReason === 'USED' && { usedAt: timestampFromMs(endedAt) }),
    ...(endedAt !== null && endReason === 'REVOKED' && { revokedAt: timestampFromMs(endedAt) }),
    sessionTokenId: link.tokenId ?? '',
  });
}
