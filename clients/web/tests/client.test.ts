import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { BudgetImpossible, Client, ConnectionFailed, InvalidRequest, ModelNotFound, type Selection, VersionNotFound } from "../src/client/index.js";
import { digestOf } from "../src/client/digest.js";
import { MemoryCache } from "./memory_cache.js";
import { freePort, type Service, startService } from "./service.js";

const MODEL = "lenet-mnist";
let service: Service;

beforeAll(async () => {
  service = await startService();
}, 300_000);
afterAll(() => service?.stop());

const client = (cache: MemoryCache | null = null) => new Client(service.url, { cache });

describe("what there is", () => {
  test("models, one model and its curve", async () => {
    expect((await client().models()).map((model) => model.name)).toContain(MODEL);
    const model = await client().model(MODEL);
    const curve = await client().curve(MODEL);
    expect(model.costs.smallest.params).toBeLessThan(model.costs.full.params);
    expect(curve.points.map((point) => point.params)).toContain(model.costs.full.params);
  });

  test("a version by number and by alias, and one that is not there", async () => {
    const [summary] = await client().models();
    expect([summary?.version, summary?.aliases]).toEqual([1, ["latest"]]);
    for (const version of [1, "1", "latest"]) {
      expect((await client().model(MODEL, { version })).version).toBe(1);
      expect((await client().curve(MODEL, { version })).version).toBe(1);
      expect((await client().samples(MODEL, { version })).labels.length).toBeGreaterThan(0);
    }
    for (const version of [1, "latest"]) expect((await client().manifest(MODEL, { compression: 0.5, version })).version).toBe(1);
    for (const version of [9, "stable"]) {
      await expect(client().curve(MODEL, { version })).rejects.toBeInstanceOf(VersionNotFound);
      await expect(client().plan(MODEL, { compression: 0.5, version })).rejects.toBeInstanceOf(VersionNotFound);
    }
  });
});

describe("pull", () => {
  test.each<Selection>([{ compression: 0.5 }, { compression: 0.75, precision: "int8" }, { budget: { bytes: 100_000 } }, { rung: "small" }])("%o", async (selection) => {
    const progress: number[] = [];
    const { data, manifest, fromCache } = await client().pull(MODEL, selection, { onProgress: (received) => progress.push(received) });
    expect(await digestOf(data)).toBe(manifest.digest);
    expect(progress.at(-1)).toBe(manifest.size);
    expect(fromCache).toBe(false);
    if (selection.budget?.bytes) expect(data.byteLength).toBeLessThanOrEqual(selection.budget.bytes);
  });

  test("comes from the cache the second time, and anew when the cache's bytes were damaged", async () => {
    const cache = new MemoryCache();
    const first = await client(cache).pull(MODEL, { compression: 0.5 });
    expect((await client(cache).pull(MODEL, { compression: 0.5 })).fromCache).toBe(true);
    new Uint8Array(cache.entries.get(first.manifest.digest) as ArrayBuffer)[100]! ^= 1;
    const again = await client(cache).pull(MODEL, { compression: 0.5 });
    expect(again.fromCache).toBe(false);
    expect(await digestOf(again.data)).toBe(first.manifest.digest);
  });

  test("an aborted pull ends with the reason and keeps nothing", async () => {
    const cache = new MemoryCache();
    const controller = new AbortController();
    const pulled = client(cache).pull(MODEL, { compression: 0.1 }, { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(pulled.then(() => controller.signal.aborted && cache.entries.size === 0)).rejects.toMatchObject({ name: "AbortError" });
    expect(cache.entries.size).toBe(0);
  });
});

describe("errors", () => {
  test("name what there is instead", async () => {
    await expect(client().plan(MODEL, { rung: "nothing" })).rejects.toMatchObject({ name: "RungNotFound", problem: { rungs: expect.arrayContaining(["small"]) } });
    await expect(client().plan(MODEL, { budget: { latency_ms: 4, device: "nothing" } })).rejects.toMatchObject({ name: "ProfileNotFound" });
  });

  test("are classes with the service's problem", async () => {
    const invalid = await client().pull(MODEL, { compression: 2 }).catch((error: unknown) => error);
    expect(invalid).toBeInstanceOf(InvalidRequest);
    expect((invalid as InvalidRequest).problem.errors?.[0]?.field).toBe("compression");
    const impossible = await client().pull(MODEL, { budget: { params: 1 } }).catch((error: unknown) => error);
    expect(impossible).toBeInstanceOf(BudgetImpossible);
    expect((impossible as BudgetImpossible).problem.smallest?.params).toBeGreaterThan(1);
    await expect(client().model("nothing")).rejects.toBeInstanceOf(ModelNotFound);
  });

  test("a service that is not there", async () => {
    const nobody = new Client(`http://127.0.0.1:${await freePort()}`, { cache: null });
    await expect(nobody.models()).rejects.toBeInstanceOf(ConnectionFailed);
  });
});
