import type { ArtifactCache } from "../src/client/index.js";

/** A cache that tests can look into and damage. */
export class MemoryCache implements ArtifactCache {
  readonly entries = new Map<string, ArrayBuffer>();

  async get(digest: string): Promise<ArrayBuffer | undefined> {
    return this.entries.get(digest);
  }

  async put(digest: string, data: ArrayBuffer): Promise<void> {
    this.entries.set(digest, data);
  }

  async remove(digest: string): Promise<void> {
    this.entries.delete(digest);
  }
}
