const RANDOM_BYTES = 16;

/**
 * A fresh id that makes a retried creation safe. `crypto.randomUUID` would be missing on pages
 * that are not served over TLS.
 */
export function newRequestId(): string {
  let id = '';
  for (const byte of crypto.getRandomValues(new Uint8Array(RANDOM_BYTES))) {
    id += byte.toString(16).padStart(2, '0');
  }
  return id;
}
