/** Two sizes that run side by side in the browser. */
import { type Client, createSession, type Plan, type Selection, type Session, softmax } from "../client/index.js";
import * as format from "./format.js";
import { byId, make } from "./page.js";

const SHOWN = 3;
const RUNS = 5;

interface Lane {
  readonly title: string;
  readonly plan: Plan;
  readonly session: Session;
}

/** Holds the sessions of the chosen size and of the one that it is compared with. */
export class Bench {
  readonly #results = byId("results");
  #lanes: (Lane | undefined)[] = [undefined, undefined];
  /** What a lane waits for; a later wish takes its place. */
  readonly #wishes = [new AbortController(), new AbortController()];
  #labels: readonly string[] = [];
  #pixels: readonly number[] | undefined;
  /** Sizes are loaded and samples run one after the other, in the order in which they were asked for. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    private readonly client: () => Client,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Forget another model's sizes. */
  reset(labels: readonly string[]): void {
    this.#labels = labels;
    this.#pixels = undefined;
    for (const wish of this.#wishes) wish.abort();
    // At once, so that no old network meets a sample of the new model; what runs just now ends before they are released.
    const old = this.#lanes;
    this.#lanes = [undefined, undefined];
    void this.#enqueue(async () => {
      for (const lane of old) await lane?.session.release();
      await this.#show();
    });
  }

  /** Pull a size into one of the two lanes, which is empty when that fails. */
  load(lane: 0 | 1, title: string, model: string, selection: Selection): Promise<void> {
    this.#wishes[lane]?.abort();
    const { signal } = (this.#wishes[lane] = new AbortController());
    return this.#enqueue(async () => {
      try {
        signal.throwIfAborted();
        const artifact = await this.client().pull(model, selection, { signal });
        const session = await createSession(artifact);
        if (signal.aborted) await session.release();
        signal.throwIfAborted();
        await this.#put(lane, { title, plan: artifact.manifest, session });
      } catch (error) {
        if (!signal.aborted) await this.#put(lane, undefined);
        throw error;
      }
    });
  }

  /** Run both sizes on a sample; undefined shows the sizes alone. */
  run(pixels: readonly number[] | undefined): Promise<void> {
    this.#pixels = pixels;
    return this.#enqueue(() => this.#show());
  }

  async #put(lane: 0 | 1, filled: Lane | undefined): Promise<void> {
    const old = this.#lanes[lane];
    this.#lanes[lane] = filled;
    await old?.session.release();
    await this.#show();
  }

  async #show(): Promise<void> {
    const shown: HTMLElement[] = [];
    // Both as they are now: they may come to belong to another model meanwhile.
    const [lanes, pixels] = [this.#lanes, this.#pixels];
    for (const lane of lanes) if (lane !== undefined) shown.push(await this.#card(lane, pixels));
    this.#results.replaceChildren(...shown);
  }

  async #card({ title, plan, session }: Lane, pixels: readonly number[] | undefined): Promise<HTMLElement> {
    const head = make("h3", {}, title);
    const size = make("p", { className: "small" }, `${format.size(plan.cost.bytes)}, ${format.count(plan.cost.params)} parameters`);
    if (pixels === undefined) return make("article", {}, head, size, make("p", {}, "Draw something."));
    const probabilities = softmax(await session.run(pixels));
    const latency = make("p", { className: "latency" }, `${format.milliseconds(await medianLatency(session, pixels))} in this browser`);
    return make("article", {}, head, size, bars(probabilities, this.#labels), latency);
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work).catch((error: unknown) => this.onError(error));
    this.#queue = done;
    return done;
  }
}

/** Milliseconds of one run; called after a first one, which also allocates. */
async function medianLatency(session: Session, pixels: readonly number[]): Promise<number> {
  const taken: number[] = [];
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now();
    await session.run(pixels);
    taken.push(performance.now() - started);
  }
  return taken.sort((a, b) => a - b)[Math.floor(RUNS / 2)] ?? 0;
}

/** The likeliest classes, with bars that a meter reads out. */
function bars(probabilities: Float32Array, labels: readonly string[]): HTMLElement {
  const ranked = [...probabilities].map((value, index) => ({ value, label: labels[index] ?? String(index) })).sort((a, b) => b.value - a.value);
  const rows = ranked.slice(0, SHOWN).map(({ value, label }) => {
    const meter = make("meter", { min: 0, max: 1, value });
    meter.setAttribute("aria-label", `Probability of ${label}`);
    return make("li", {}, make("span", { className: "label" }, label), meter, make("span", { className: "share" }, `${(100 * value).toFixed(1)} %`));
  });
  return make("ol", { className: "classes" }, ...rows);
}
