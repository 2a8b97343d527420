/** One page of a list. */
export type Page<T> = { readonly items: readonly T[]; readonly nextPageToken: string };

/** The most pages of one list: a server that never ends its list is not followed for ever. */
const MAX_PAGES = 10_000;

/** Follows a list page by page, as far as its reader goes. */
export async function* followPages<T>(
  fetchPage: (pageToken: string) => Promise<Page<T>>,
): AsyncGenerator<readonly T[], void, undefined> {
  let pageToken = '';
  for (let count = 0; count < MAX_PAGES; count += 1) {
    const page = await fetchPage(pageToken);
    yield page.items;
    if (page.nextPageToken === '') return;
    pageToken = page.nextPageToken;
  }
}

/** Everything that the pages hold. */
export async function collectPages<T>(pages: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const items of pages) all.push(...items);
  return all;
}
