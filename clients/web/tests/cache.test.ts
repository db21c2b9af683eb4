/** Where artifacts stay between visits: Cache Storage, which Node.js lacks, as its specification has it. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { MOST_ARTIFACTS, StorageCache } from "../src/client/cache.js";

/** One cache of the specification of service workers: a list of requests with their responses, where a put replaces and appends. */
class ListedCache {
  readonly #responses = new Map<string, Response>();
  /** How many artifacts the browser lets the site keep. */
  room = Infinity;
  /** What a put fails with, where it is not for room. */
  fault: Error | undefined;

  async match(request: RequestInfo): Promise<Response | undefined> {
    return this.#responses.get(urlOf(request))?.clone();
  }

  async put(request: RequestInfo, response: Response): Promise<void> {
    if (this.fault !== undefined) throw this.fault;
    const others = [...this.#responses.keys()].filter((url) => url !== urlOf(request));
    if (others.length >= this.room) throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
    await this.delete(request);
    this.#responses.set(urlOf(request), response);
  }

  async delete(request: RequestInfo): Promise<boolean> {
    return this.#responses.delete(urlOf(request));
  }

  async keys(): Promise<Request[]> {
    return [...this.#responses.keys()].map((url) => new Request(url));
  }
}

function urlOf(request: RequestInfo): string {
  return typeof request === "string" ? request : request.url;
}

const digest = (number: number) => `sha256:${number.toString(16).padStart(64, "0")}`;
const bytes = (number: number) => new Uint8Array([number]).buffer;

let cache: ListedCache;

beforeEach(() => {
  cache = new ListedCache();
  vi.stubGlobal("caches", { open: async () => cache });
});
afterEach(() => vi.unstubAllGlobals());

/** The numbers of the artifacts that are there, of so many. */
async function kept(count: number): Promise<number[]> {
  const found: number[] = [];
  for (let number = 0; number < count; number++) if ((await new StorageCache().get(digest(number))) !== undefined) found.push(number);
  return found;
}

test("the artifacts that were put there last stay", async () => {
  for (let number = 0; number < MOST_ARTIFACTS + 2; number++) await new StorageCache().put(digest(number), bytes(number));
  expect(await kept(MOST_ARTIFACTS + 2)).toEqual(Array.from({ length: MOST_ARTIFACTS }, (_, index) => index + 2));
  expect([...new Uint8Array((await new StorageCache().get(digest(2))) as ArrayBuffer)]).toEqual([2]);
});

test("what is put there again is young", async () => {
  for (let number = 0; number < MOST_ARTIFACTS; number++) await new StorageCache().put(digest(number), bytes(number));
  await new StorageCache().put(digest(0), bytes(0));
  await new StorageCache().put(digest(MOST_ARTIFACTS), bytes(MOST_ARTIFACTS));
  expect(await kept(3)).toEqual([0, 2]);
});

test("in a full storage the oldest give way to what is new", async () => {
  for (let number = 0; number < 4; number++) await new StorageCache().put(digest(number), bytes(number));
  cache.room = 2;
  await new StorageCache().put(digest(4), bytes(4));
  expect(await kept(5)).toEqual([3, 4]);
});

test("what fits nowhere is quietly not kept", async () => {
  cache.room = 0;
  await new StorageCache().put(digest(0), bytes(0));
  expect(await kept(1)).toEqual([]);
});

test("what is larger than all the room that the site has removes nothing", async () => {
  for (let number = 0; number < 2; number++) await new StorageCache().put(digest(number), bytes(number));
  cache.room = 2;
  vi.stubGlobal("navigator", { storage: { estimate: async () => ({ quota: 2 }) } });
  await new StorageCache().put(digest(2), new Uint8Array(3).buffer);
  expect(await kept(3)).toEqual([0, 1]);
  await new StorageCache().put(digest(2), bytes(2));
  expect(await kept(3)).toEqual([1, 2]);
});

test("a put that fails for another reason costs nothing that is there", async () => {
  for (let number = 0; number < 2; number++) await new StorageCache().put(digest(number), bytes(number));
  cache.fault = new DOMException("The operation is not allowed.", "SecurityError");
  await new StorageCache().put(digest(2), bytes(2));
  expect(await kept(3)).toEqual([0, 1]);
});
