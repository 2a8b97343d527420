/** A header or trailer in a frame. */
export type FrameHeader = { readonly name: string; readonly value: string };

/** Headers, as a frame holds them. */
export function toFrameHeaders(headers: Headers): FrameHeader[] {
  return Array.from(headers, ([name, value]) => ({ name, value }));
}

/** The headers that a frame holds. Throws TypeError at a name or value that no header can have. */
export function fromFrameHeaders(headers: readonly FrameHeader[]): Headers {
  const result = new Headers();
  for (const { name, value } of headers) result.append(name, value);
  return result;
}
