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
 * The browser's Cache Storage; looks empty where there is none (outside of HTTPS and localhost) or where it is full.
 * The `MOST_ARTIFACTS` that were put there last stay.
 */
export class StorageCache implements ArtifactCache {
  async get(digest: string): Promise<ArrayBuffer | undefined> {
    return this.#attempt(async (cache) => (await cache.match(keyOf(digest)))?.arrayBuffer());
  }

  async put(digest: string, data: ArrayBuffer): Promise<void> {
    await this.#attempt(async (cache) => {
      await cache.put(keyOf(digest), new Response(data));
      // In the order in which they were put there, as the specification of service workers has it.
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
      // A full or forbidden storage makes the next visit slower, not this one fail.
      return undefined;
    }
  }
}

/** Cache Storage wants a URL; the digest names the bytes wherever they came from. */
function keyOf(digest: string): string {
  return `https://artifacts.invalid/${digest}`;
}
