import { durationFromMs, timestampFromMs } from '@bufbuild/protobuf/wkt';
import { Code, createRouterTransport } from '@connectrpc/connect';
import { beforeEach, describe, expect, it } from 'vitest';
import { Gateway } from '../../client/gateway.ts';
import { MagicLinks } from '../../client/magic-links.ts';
import { SessionTokens } from '../../client/session-tokens.ts';
import { ErrorReason } from '../../gen/computesdk/v1/error_pb.ts';
import {
  type CreateMagicLinkRequest,
  MagicLinkService,
} from '../../gen/computesdk/v1/magic_link_service_pb.ts';
import { SessionTokenKind } from '../../gen/computesdk/v1/session_token_pb.ts';
import { SessionTokenService } from '../../gen/computesdk/v1/session_token_service_pb.ts';
import { FakeClock } from './support/fake-clock.ts';
import { refusal } from './support/fake-terminal.ts';
import { FaultyNetwork } from './support/faulty-network.ts';

let network: FaultyNetwork;
let clock: FakeClock;
let gateway: Gateway;
let links: MagicLinks;
let requests: CreateMagicLinkRequest[];
let revoked: string[];

beforeEach(() => {
  network = new FaultyNetwork();
  clock = new FakeClock();
  requests = [];
  revoked = [];
  const transport = network.through(routes());
  gateway = new Gateway({
    ...{ gatewayUrl: 'http://gateway.test/', apiKey: 'key', clock },
    transport: () => transport,
  });
  links = new MagicLinks(gateway, 'sbx1');
});

const record = (id: string) => ({
  ...{ id, sandboxId: 'sbx1', redirectUrl: 'http://app.test/workspace', scopes: ['files:read'] },
  tokenExpiresIn: durationFromMs(3_600_000),
  createdAt: timestampFromMs(1_000),
  expiresAt: timestampFromMs(901_000),
});

function routes() {
  return createRouterTransport((router) => {
    router.service(MagicLinkService, {
      createMagicLink: (request) => {
        requests.push(request);
        const made = new Set(requests.map(({ requestId }) => requestId)).size;
        return { magicLink: record(`lnk${made}`), url: `http://gateway.test/magic/secret${made}` };
      },
      listMagicLinks: ({ pageToken, pageSize }) => ({
        magicLinks: [record(`lnk-${pageSize}-${pageToken}`)],
        nextPageToken: pageToken === '' ? 'next' : '',
      }),
      revokeMagicLink: ({ magicLinkId }) => {
        if (magicLinkId !== 'lnk1') throw refusal(Code.NotFound, ErrorReason.NOT_FOUND);
        revoked.push(magicLinkId);
        return {};
      },
    });
    router.service(SessionTokenService, {
      listSessionTokens: () => ({
        sessionTokens: [
          { id: 'tok1', kind: SessionTokenKind.CREATED, createdAt: timestampFromMs(1_000) },
          { id: 'tok2', kind: SessionTokenKind.MAGIC_LINK, lastUsedAt: timestampFromMs(2_000) },
        ],
      }),
    });
  });
}

describe('sandbox.magicLink', () => {
  it('creates one link although answers are lost', async () => {
    let losses = 2;
    network.unaryFate = () => (losses-- > 0 ? 'lose_response' : 'pass');
    const creation = links.create({ redirectUrl: '/workspace' });
    await clock.advance(5_000);
    const link = await creation;
    expect(link).toMatchObject({ id: 'lnk1', url: 'http://gateway.test/magic/secret1' });
    expect(`${link.expiresAt}`).toContain('1970');
    expect(requests).toHaveLength(3);
    expect(requests[0]?.requestId).toMatch(/^[0-9a-f]{32}$/);
  });

  it('passes on what was asked for, in seconds, and leaves the rest to the gateway', async () => {
    const link = await links.create({
      ...{ redirectUrl: 'http://app.test/x', description: 'Invite', scopes: ['files:read'] },
      ...{ expiresIn: 600, tokenExpiresIn: 3_600 },
    });
    expect(requests[0]).toMatchObject({
      ...{ sandboxId: 'sbx1', redirectUrl: 'http://app.test/x', description: 'Invite' },
      ...{
        scopes: ['files:read'],
        expiresIn: { seconds: 600n },
        tokenExpiresIn: { seconds: 3600n },
      },
    });
    expect(link).toMatchObject({
      ...{ tokenExpiresIn: 3_600, createdAt: new Date(1_000), usedAt: undefined },
      sessionTokenId: undefined,
    });
    await links.create();
    expect(requests[1]).toMatchObject({ redirectUrl: '', scopes: [] });
    expect([requests[1]?.expiresIn, requests[1]?.tokenExpiresIn]).toEqual([undefined, undefined]);
  });

  it.each(['expiresIn', 'tokenExpiresIn'])('refuses a bad %s before any call', async (field) => {
    await expect(links.create({ [field]: 0 })).rejects.toMatchObject({
      code: 'invalid_argument',
      field,
    });
    expect(requests).toEqual([]);
  });

  it('lists all links, or page by page', async () => {
    expect((await links.list()).map(({ id }) => id)).toEqual(['lnk-0-', 'lnk-0-next']);
    for await (const page of links.pages({ pageSize: 7 })) {
      expect(page.map(({ id }) => id)).toEqual(['lnk-7-']);
      break;
    }
  });

  it('revokes a link, and says when there is none', async () => {
    await links.revoke('lnk1');
    expect(revoked).toEqual(['lnk1']);
    await expect(links.revoke('lnk9')).rejects.toMatchObject({ code: 'not_found' });
  });
});

describe('sandbox.sessionToken', () => {
  it('lists tokens that links made with their kind, in lines that print well', async () => {
    const tokens = await new SessionTokens(gateway, 'sbx1').list();
    expect(tokens.map(({ kind }) => kind)).toEqual(['created', 'magic_link']);
    const lines = tokens.map((token) => `${token.createdAt} ${token.lastUsedAt || 'never'}`);
    expect(lines[0]).toMatch(/1970.* never$/);
    expect(lines[1]).toMatch(/1970.*1970/);
  });
});
