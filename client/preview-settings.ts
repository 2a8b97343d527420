import {
  type Sandbox as SandboxRecord,
  PreviewHost as WirePreviewHost,
  PreviewVisibility as WirePreviews,
} from '../gen/computesdk/v1/sandbox_pb.ts';
import { invalidArgument } from './errors.ts';

/** Who may see what a sandbox's port serves: who has access to the sandbox, or whoever knows the address. */
export type PreviewVisibility = 'private' | 'public';

/** Who may see what a sandbox's ports serve: the same for all, or port by port, others being private. */
export type Previews = PreviewVisibility | Readonly<Record<number, PreviewVisibility>>;

/**
 * Which `Host` and `Origin` the programs get that serve a sandbox's ports: `localhost:<port>`, which dev
 * servers expect, or those that the browser sent. `X-Forwarded-Host` has the latter either way.
 */
export type PreviewHost = 'localhost' | 'preserved';

const PORT = /^[1-9]\d{0,4}$/;
const MAX_PORT = 65_535;

type PreviewSettings = {
  readonly previews?: Previews | undefined;
  readonly previewHost?: PreviewHost | undefined;
};

/** What a sandbox's record says of its previews. */
export function previewSettingsOf(record: SandboxRecord): {
  readonly previews: Previews;
  readonly previewHost: PreviewHost;
} {
  const isPreserved = record.previewHost === WirePreviewHost.PRESERVED;
  return { previews: previewsOf(record), previewHost: isPreserved ? 'preserved' : 'localhost' };
}

/**
 * The settings as they are sent. Untyped callers may pass anything; what is not known must not become
 * public. Throws `invalid_argument`.
 */
export function toPreviewSettings({ previews, previewHost = 'localhost' }: PreviewSettings) {
  if (previewHost !== 'localhost' && previewHost !== 'preserved')
    throw invalidArgument('previewHost', "must be 'localhost' or 'preserved'");
  return {
    ...toVisibility(previews ?? 'private'),
    previewHost:
      previewHost === 'preserved' ? WirePreviewHost.PRESERVED : WirePreviewHost.LOCALHOST,
  };
}

function toVisibility(previews: Previews): { previews: WirePreviews; publicPorts: number[] } {
  if (previews === 'public') return { previews: WirePreviews.PUBLIC, publicPorts: [] };
  if (previews === 'private') return { previews: WirePreviews.PRIVATE, publicPorts: [] };
  if (typeof previews !== 'object') throw unknown();
  const publicPorts: number[] = [];
  for (const [port, visibility] of Object.entries(previews)) {
    if (!PORT.test(port) || Number(port) > MAX_PORT)
      throw invalidArgument('previews', `${port} is no port: they go from 1 to ${MAX_PORT}`);
    if (visibility === 'public') publicPorts.push(Number(port));
    else if (visibility !== 'private') throw unknown();
  }
  return { previews: WirePreviews.PRIVATE, publicPorts };
}

function previewsOf({ previews, publicPorts }: SandboxRecord): Previews {
  if (previews === WirePreviews.PUBLIC) return 'public';
  if (publicPorts.length === 0) return 'private';
  return Object.fromEntries(publicPorts.map((port) => [port, 'public']));
}

function unknown() {
  return invalidArgument(
    'previews',
    "must be 'private', 'public', or one of them for each port: { 3000: 'public' }",
  );
}
