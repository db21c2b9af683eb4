/** The two sizes of the explorer page when another model is chosen; what they show is tested in a browser (tests/explorer). */
import { env } from "onnxruntime-web/wasm";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from "vitest";
import { type Artifact, Client } from "../src/client/index.js";
import { Bench } from "../src/explorer/bench.js";
import { type Service, startService } from "./service.js";

const MODEL = "lenet-mnist";
const SAMPLE = new Array<number>(28 * 28).fill(0);
/** Of another model, whose networks take other inputs. */
const OTHER_SAMPLE = new Array<number>(3 * 32 * 32).fill(0);

let service: Service;
let shown: unknown[];
let errors: unknown[];
// As in session.test.ts.
env.wasm.numThreads = 1;

beforeAll(async () => {
  service = await startService();
}, 300_000);
afterAll(() => service?.stop());

beforeEach(() => {
  errors = [];
  shown = [];
  // As much of a page as is written to; there is none in Node.js.
  const element = () => ({ append() {}, setAttribute() {}, replaceChildren: (...children: unknown[]) => void (shown = children) });
  vi.stubGlobal("document", { getElementById: element, createElement: element });
});
afterEach(() => vi.unstubAllGlobals());

test("a sample of the new model runs through no network of the old one", async () => {
  const client = new Client(service.url, { cache: null });
  const bench = new Bench(() => client, (error) => errors.push(error));
  bench.reset([]);
  for (const lane of [0, 1] as const) await bench.load(lane, "Old", MODEL, { compression: 0.75 });
  await bench.run(SAMPLE);
  expect(shown.length).toBe(2);
  // Also not through one that runs just now.
  const running = bench.run(SAMPLE);
  await Promise.resolve();
  bench.reset([]);
  await Promise.all([running, bench.run(OTHER_SAMPLE)]);
  expect(errors).toEqual([]);
  expect(shown).toEqual([]);
});

test("a network of the old model that was just pulled is not put in", async () => {
  class Switching extends Client {
    override async pull(...request: Parameters<Client["pull"]>): Promise<Artifact> {
      const artifact = await super.pull(...request);
      bench.reset([]);
      void bench.run(OTHER_SAMPLE);
      return artifact;
    }
  }
  const client = new Switching(service.url, { cache: null });
  const bench: Bench = new Bench(() => client, (error) => errors.push(error));
  await bench.load(1, "Old", MODEL, { compression: 0.75 });
  await bench.run(OTHER_SAMPLE);
  expect(errors.map((error) => (error as Error).name)).toEqual(["AbortError"]);
  expect(shown).toEqual([]);
});
