import { Unsupported } from "./errors.js";

/** WebCrypto. Throws `Unsupported` where a page may not use it (neither HTTPS nor localhost). */
export function webCrypto(): SubtleCrypto {
  const subtle = globalThis.crypto?.subtle;
  if (subtle === undefined) {
    throw new Unsupported("Digests cannot be checked here: browsers offer WebCrypto only to pages from HTTPS or localhost.");
  }
  return subtle;
}

/** `sha256:…` of bytes. */
export async function digestOf(data: BufferSource): Promise<string> {
  const hash = new Uint8Array(await webCrypto().digest("SHA-256", data));
  return `sha256:${Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
}
