import { describe, expect, it, test } from 'vitest';
import { newId } from '../../../../server/core/id.ts';
import { PreviewHosts, splitTicket } from '../../../../server/gateway/preview/preview-hosts.ts';

const ID = newId('sbx');
const hosts = new PreviewHosts({
  publicUrl: 'https://sandboxes.example.com',
  previewDomain: 'preview.test',
});

describe('the host name of a preview', () => {
  it.each([1, 80, 3000, 65_535])('names port %i', (port) => {
    const at = { sandboxId: ID, port };
    expect(hosts.matchName(hosts.nameOf(at))).toEqual(at);
    expect(hosts.originOf(at)).toBe(`https://${port}-${ID}.preview.test`);
  });

  it.each(['0', '00', '03000', '+80', '-80', '80.0', '0x50', '65536', '99999', '8e1', ''])(
    'has no other spelling: %s',
    (port) => expect(hosts.matchName(`${port}-${ID}.preview.test`)).not.toBeTypeOf('object'),
  );

  it.each([
    `80-${ID}.preview.test.evil`,
    `80-${ID}.evilpreview.test`,
    `80-${ID}.x.preview.test`,
    `x.80-${ID}.preview.test`,
    `80-${ID}`,
    'preview.test',
    '.preview.test',
    'www.preview.test',
  ])('is none of another place: %s', (name) => {
    expect(hosts.matchName(name)).toBeUndefined();
  });

  it.each([`80-${ID}x`, `80-${ID.replace(/.$/, 'u')}`, '80-sbx'])(
    'that can only be meant for one is nothing else: %s',
    (label) => expect(hosts.matchName(`${label}.preview.test`)).toBe('malformed'),
  );
});

it.each([
  ['http://localhost:4000', 'localhost', 'http://80-ID.localhost:4000/'],
  ['https://a.example:8443', 'p.example', 'https://80-ID.p.example:8443/'],
  ['https://a.example', 'p.example:9443', 'https://80-ID.p.example:9443/'],
])('at %s and %s is %s', (publicUrl, previewDomain, url) => {
  const other = new PreviewHosts({ publicUrl, previewDomain });
  expect(other.urlOf({ sandboxId: ID, port: 80 })).toBe(url.replace('ID', ID));
});

it.each([
  ['http://localhost:4000', 'localhost', false],
  ['http://localhost:4000', 'a.localhost', false],
  ['https://a.example', 'preview.test', false],
  ['http://localhost:4000', 'preview.test', true],
  ['http://localhost:4000', '127.0.0.1', true],
  ['http://localhost:4000', 'evillocalhost', true],
])('at %s and %s needs TLS: %s', (publicUrl, previewDomain, isProblem) => {
  const problem = new PreviewHosts({ publicUrl, previewDomain }).cleartextProblem;
  expect(problem !== undefined).toBe(isProblem);
  if (isProblem) expect(problem).toMatch(/^previews need TLS/);
});

test.each([
  ['/', '/', undefined],
  ['/?computesdk_ticket=x', '/', 'x'],
  ['/a?b=1&computesdk_ticket=x&c=%26', '/a?b=1&c=%26', 'x'],
  ['/?computesdk_ticket=x&computesdk_ticket=y', '/', 'x'],
  ['/?a=computesdk_ticket', '/?a=computesdk_ticket', undefined],
  ['/computesdk_ticket=x', '/computesdk_ticket=x', undefined],
])('the ticket of %s is taken out', (target, rest, ticket) => {
  expect(splitTicket(target)).toEqual({ target: rest, ticket });
});
