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
let cards: { readonly hidden: boolean }[];
let errors: unknown[];
// As in session.test.ts.
env.wasm.numThreads = 1;

beforeAll(async () => {
  service = await startService();
}, 300_000);
afterAll(() => service?.stop());

beforeEach(() => {
  errors = [];
  cards = [];
  vi.stubGlobal("document", { getElementById: () => element("div"), createElement: element });
});
afterEach(() => vi.unstubAllGlobals());

/** As much of an element as is written to; Node.js has no page. */
function element(tag: string) {
  const made = {
    hidden: false,
    childElementCount: 0,
    append() {},
    setAttribute() {},
    replaceChildren: (...children: unknown[]) => void (made.childElementCount = children.length),
  };
  if (tag === "article") cards.push(made);
  return made;
}

/** The two sizes, with a client for what they pull. */
function benchOf(client: Client): Bench {
  return new Bench(
    () => client,
    (error) => {
      errors.push(error);
      return String(error);
    },
  );
}

function shown(): number {
  return cards.filter(({ hidden }) => !hidden).length;
}

test("a sample of the new model runs through no network of the old one", async () => {
  const bench = benchOf(new Client(service.url, { cache: null }));
  bench.reset([]);
  for (const lane of [0, 1] as const) await bench.load(lane, "Old", MODEL, { compression: 0.75 });
  await bench.run(SAMPLE);
  expect(shown()).toBe(2);
  // Also not through one that runs just now.
  const running = bench.run(SAMPLE);
  await Promise.resolve();
  bench.reset([]);
  await Promise.all([running, bench.run(OTHER_SAMPLE)]);
  expect(errors).toEqual([]);
  expect(shown()).toBe(0);
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
  const bench: Bench = benchOf(new Switching(service.url, { cache: null }));
  await bench.load(1, "Old", MODEL, { compression: 0.75 });
  await bench.run(OTHER_SAMPLE);
  expect(errors).toEqual([]);
  expect(shown()).toBe(0);
});

test("a sample does not wait for a download", async () => {
  class Held extends Client {
    override async pull(...[name, selection, options]: Parameters<Client["pull"]>): Promise<Artifact> {
      return selection.compression === 0.5 ? new Promise(() => {}) : super.pull(name, selection, options);
    }
  }
  const bench = benchOf(new Held(service.url, { cache: null }));
  void bench.load(0, "Held", MODEL, { compression: 0.5 });
  await bench.load(1, "There", MODEL, { compression: 0.75 });
  await bench.run(SAMPLE);
  expect(errors).toEqual([]);
  expect(shown()).toBe(1);
});
