/** Where artifacts are kept between visits. */

/** Bytes by digest. A cache may forget anything at any time; what it gives back is verified by the client. */
export interface ArtifactCache {
  get(digest: string): Promise<ArrayBuffer | undefined>;
  put(digest: string, data: ArrayBuffer): Promise<void>;
  remove(digest: string): Promise<void>;
}

const NAME = "neumeta-artifacts-v1";
/** Whoever tries many sizes leaves one artifact for each; so many of a few megabytes are a small part of what browsers give a site. */
export const MOST_ARTIFACTS = 64;

/**
 * The browser's Cache Storage; looks empty where there is none (outside of HTTPS and localhost).
 * The `MOST_ARTIFACTS` that were put there last stay, fewer where the browser has no room for so many.
 */
export class StorageCache implements ArtifactCache {
  async get(digest: string): Promise<ArrayBuffer | undefined> {
    return this.#attempt(async (cache) => (await cache.match(keyOf(digest)))?.arrayBuffer());
  }

  async put(digest: string, data: ArrayBuffer): Promise<void> {
    await this.#attempt(async (cache) => {
      await putMakingRoom(cache, keyOf(digest), data);
      const oldest = (await cache.keys()).slice(0, -MOST_ARTIFACTS);
      await Promise.all(oldest.map((request) => cache.delete(request)));
    });
  }

  async remove(digest: string): Promise<void> {
    await this.#attempt((cache) => cache.delete(keyOf(digest)));
  }

  async #attempt<T>(operation: (cache: Cache) => Promise<T>): Promise<T | undefined> {
    try {
      return typeof caches === "undefined" ? undefined : await operation(await caches.open(NAME));
    } catch {
      // A storage that is too small or forbidden makes the next visit slower, not this one fail.
      return undefined;
    }
  }
}

/**
 * Puts, and while the storage is full removes the oldest, one after the other. Rejects when there is no room even so; what is larger than
 * all of it removes nothing.
 */
async function putMakingRoom(cache: Cache, key: string, data: ArrayBuffer): Promise<void> {
  let oldest: Request[] | undefined;
  for (;;) {
    try {
      return await cache.put(key, new Response(data));
    } catch (error) {
      // Other failures would not go away with what was kept.
      if (!(error instanceof DOMException && error.name === "QuotaExceededError")) throw error;
      if (oldest === undefined && data.byteLength > (await quota())) throw error;
      // In the order in which they were put there, as the specification of service workers has it.
      oldest ??= [...(await cache.keys())];
      const request = oldest.shift();
      if (request === undefined) throw error;
      await cache.delete(request);
    }
  }
}

/** The bytes that the browser gives the site in all, where it says. */
async function quota(): Promise<number> {
  return (await globalThis.navigator?.storage?.estimate?.())?.quota ?? Infinity;
}

/** Cache Storage wants a URL; the digest names the bytes wherever they came from. */
function keyOf(digest: string): string {
  return `https://artifacts.invalid/${digest}`;
}
