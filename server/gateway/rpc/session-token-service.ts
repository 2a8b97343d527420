import { create } from '@bufbuild/protobuf';
import { durationMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import type { ServiceImpl } from '@connectrpc/connect';
import {
  SessionTokenKind,
  SessionTokenSchema,
} from '../../../gen/computesdk/v1/session_token_pb.ts';
import type { SessionTokenService } from '../../../gen/computesdk/v1/session_token_service_pb.ts';
import { checkPage } from '../../core/bounds.ts';
import type { SessionToken } from '../auth/session-token.ts';
import type { SessionTokens } from '../auth/session-tokens.ts';
import { ownerOf } from './call-context.ts';

/** The kinds, by the domain's. */
const KIND: Readonly<Record<SessionToken['kind'], SessionTokenKind>> = {
  created: SessionTokenKind.CREATED,
  magic_link: SessionTokenKind.MAGIC_LINK,
};

/** Serves `computesdk.v1.SessionTokenService`. */
export function sessionTokenService(
  tokens: SessionTokens,
): ServiceImpl<typeof SessionTokenService> {
  return {
    async createSessionToken(request, context) {
      const { requestId, sandboxId, description, expiresIn, scopes, metadata } = request;
      const { token, text } = await tokens.create(ownerOf(context), {
        ...{ requestId, sandboxId, description, scopes, metadata },
        ...(expiresIn && { expiresInMs: durationMs(expiresIn) }),
      });
      return { sessionToken: toProto(token), token: text };
    },
    async getSessionToken({ sandboxId, sessionTokenId: tokenId }, context) {
      return { sessionToken: toProto(await tokens.get(ownerOf(context), { sandboxId, tokenId })) };
    },
    async listSessionTokens({ sandboxId, pageSize, pageToken }, context) {
      const page = checkPage({ pageSize, pageToken });
      const list = await tokens.list(ownerOf(context), { sandboxId, page });
      return { sessionTokens: list.tokens.map(toProto), nextPageToken: list.nextPageToken };
    },
    async revokeSessionToken({ sandboxId, sessionTokenId: tokenId }, context) {
      await tokens.revoke(ownerOf(context), { sandboxId, tokenId });
      return {};
    },
    async revokeAllSessionTokens({ sandboxId }, context) {
      return { revoked: await tokens.revokeAll(ownerOf(context), sandboxId) };
    },
  };
}

function toProto(token: SessionToken) {
  const isRevoked = token.endReason === 'REVOKED' && token.endedAt !== null;
  return create(SessionTokenSchema, {
    id: token.id,
    sandboxId: token.sandboxId,
    description: token.description,
    scopes: [...token.scopes],
    createdAt: timestampFromMs(token.createdAt),
    expiresAt: timestampFromMs(token.expiresAt),
    ...(token.lastUsedAt !== null && { lastUsedAt: timestampFromMs(token.lastUsedAt) }),
    ...(isRevoked && { revokedAt: timestampFromMs(token.endedAt) }),
    metadata: { ...token.metadata },
    kind: KIND[token.kind],
  });
}
