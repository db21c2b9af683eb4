/** Two sizes that run side by side in the browser. */
import { type Artifact, type Client, createSession, rest, type Selection, type Session, type Sleep, softmax } from "../client/index.js";
import * as format from "./format.js";
import { Lane, type Network } from "./lane.js";
import { byId, make } from "./page.js";
import { busyInWords, mayPass } from "./words.js";

const SHOWN = 3;
const RUNS = 5;

/** Holds the sessions of the chosen size and of the one that it is compared with. */
export class Bench {
  readonly #lanes = [new Lane(), new Lane()] as const;
  #labels: readonly string[] = [];
  #pixels: readonly number[] | undefined;
  /** Sessions are made and samples run one after the other, in the order in which they were asked for. */
  #queue: Promise<unknown> = Promise.resolve();

  /** `explain` says in words what a size could not be made, loaded or run for. */
  constructor(
    private readonly connect: (sleep: Sleep) => Client,
    private readonly explain: (error: unknown) => string,
  ) {
    byId("results").replaceChildren(...this.#lanes.map(({ card }) => card));
  }

  /** Forget another model's sizes. */
  reset(labels: readonly string[]): void {
    this.#labels = labels;
    this.#pixels = undefined;
    for (const lane of this.#lanes) lane.wish();
    // At once, so that no old network meets a sample of the new model; what runs just now ends before they are released.
    const old = this.#lanes.map(({ network }) => network);
    for (const lane of this.#lanes) lane.network = undefined;
    void this.#enqueue(async () => {
      for (const network of old) await network?.session.release();
      await this.#show();
    });
  }

  /** Pull a size into one of the two lanes, which is empty when that fails. Nothing else waits for the download. */
  async load(index: 0 | 1, title: string, model: string, selection: Selection): Promise<void> {
    const lane = this.#lanes[index];
    const signal = lane.wish();
    try {
      const client = this.connect(async (milliseconds, waiting) => {
        lane.note(...said(title, busyInWords(milliseconds)));
        await rest(milliseconds, waiting);
        lane.note();
      });
      const artifact = await client.pull(model, selection, { signal });
      await this.#enqueue(() => this.#fill(lane, title, artifact, signal));
    } catch (error) {
      if (signal.aborted) return;
      const again = mayPass(error) ? () => void this.load(index, title, model, selection) : undefined;
      lane.note(...said(title, this.explain(error), again));
      await this.#enqueue(() => this.#put(lane, undefined));
    }
  }

  /** Run both sizes on a sample; undefined shows the sizes alone. */
  run(pixels: readonly number[] | undefined): Promise<void> {
    this.#pixels = pixels;
    return this.#enqueue(() => this.#show());
  }

  async #fill(lane: Lane, title: string, artifact: Artifact, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const session = await createSession(artifact);
    if (signal.aborted) await session.release();
    else await this.#put(lane, { title, plan: artifact.manifest, session });
  }

  async #put(lane: Lane, network: Network | undefined): Promise<void> {
    const old = lane.network;
    lane.network = network;
    await old?.session.release();
    await this.#show();
  }

  async #show(): Promise<void> {
    // All as it is now: it may come to belong to another model meanwhile.
    const [labels, pixels] = [this.#labels, this.#pixels];
    const results: Node[][] = [];
    for (const network of this.#lanes.map((lane) => lane.network)) {
      results.push(network === undefined ? [] : await result(network, pixels, labels).catch((error: unknown) => said(network.title, this.explain(error))));
    }
    // Together, so that nobody compares what two sizes say of different samples.
    this.#lanes.forEach((lane, index) => lane.show(...(results[index] ?? [])));
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const done = this.#queue.then(work);
    this.#queue = done.catch(() => undefined);
    return done;
  }
}

/** What a card says in words, with a button where that can be tried again. */
function said(title: string, text: string, again?: () => void): Node[] {
  const words = [make("h3", {}, title), make("p", {}, text)];
  return again === undefined ? words : [...words, make("button", { type: "button", onclick: again }, "Try again")];
}

async function result({ title, plan, session }: Network, pixels: readonly number[] | undefined, labels: readonly string[]): Promise<Node[]> {
  const head = make("h3", {}, title);
  const size = make("p", { className: "small" }, `${format.size(plan.cost.bytes)}, ${format.count(plan.cost.params)} parameters`);
  if (pixels === undefined) return [head, size, make("p", {}, "Draw something.")];
  const probabilities = softmax(await session.run(pixels));
  const latency = make("p", { className: "latency" }, `${format.milliseconds(await medianLatency(session, pixels))} in this browser`);
  return [head, size, bars(probabilities, labels), latency];
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
