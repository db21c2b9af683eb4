import { ConnectionFailed, InvalidRequest } from "./errors.js";

/** A scheme and a host, or a path, or nothing; a host without a scheme would be taken for a path. */
const ADDRESS = /^(https?:\/\/[^/\s]\S*|[/.]\S*)?$/i;
const CREDENTIALS = /\/\/[^/?#]*@/;
/** RFC 6750, section 2.1; others cannot stand in a header. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** The address of a service, for paths to be put after it; nothing and paths are relative to the page. Throws `InvalidRequest`. */
export function addressOf(url: string): string {
  if (CREDENTIALS.test(url)) throw new InvalidRequest("url: expected it without a user's name and password, which browsers do not send.");
  const base = url.replace(/\/+$/, "");
  if (!ADDRESS.test(base) || !canBeFetched(`${base}/v1`)) {
    const expected = `expected http://HOST:PORT or https://HOST, or in a page a path that begins with "/" or "."`;
    throw new InvalidRequest(`url: ${JSON.stringify(url)} is not allowed; ${expected}.`);
  }
  return base;
}

function canBeFetched(url: string): boolean {
  try {
    const { protocol, port } = new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
    return /^https?:$/.test(protocol) && port !== "0";
  } catch {
    return false;
  }
}

/** The header that carries a token; none for none, or an empty one. Throws `InvalidRequest`. */
export function authorizationOf(token: string | undefined): Readonly<Record<string, string>> {
  if (!token) return {};
  if (!TOKEN.test(token)) {
    throw new InvalidRequest("token: this is no bearer token (RFC 6750); expected A-Z, a-z, 0-9 and -._~+/, without spaces or line ends.");
  }
  return { authorization: `Bearer ${token}` };
}

/** The same result; a network failure becomes `ConnectionFailed`, an abort stays what it is. */
export async function reached<T>(attempt: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await attempt;
  } catch (error) {
    if (signal?.aborted || (error instanceof DOMException && error.name === "AbortError")) throw error;
    throw new ConnectionFailed("The service could not be reached, or the connection was cut.", { cause: error });
  }
}
