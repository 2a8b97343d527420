import type { UidChoice } from './sandbox.ts';

export type UidOptions = {
  /** Host uids of boxes. Absent when the gateway is not root. */
  readonly uidRange?: { readonly first: number; readonly last: number };
  /** Host uids that processes have now, of other gateways for example. */
  readonly busyUids: () => Promise<ReadonlySet<number>>;
};

/** The host uids that a new sandbox may get, and where to begin. Undefined when the gateway is not root. */
export async function chooseUids(
  sandboxId: string,
  { uidRange, busyUids }: UidOptions,
): Promise<UidChoice | undefined> {
  if (!uidRange) return undefined;
  return { ...uidRange, start: somewhereIn(uidRange, sandboxId), busy: await busyUids() };
}

/** A place in the range that differs between sandboxes, so that a uid is not used again soon. */
function somewhereIn(range: { first: number; last: number }, sandboxId: string): number {
  let hash = 0;
  for (const char of sandboxId) hash = (hash * 31 + char.charCodeAt(0)) % 0x7fffffff;
  return range.first + (hash % (range.last - range.first + 1));
}
