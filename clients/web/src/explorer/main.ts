/** The explorer: wires the parts of the page together. */
import { AccessRefused, type Client, type ModelSummary, type Plan, rest, type Selection, type Sleep } from "../client/index.js";
import { Access } from "./access.js";
import { Bench } from "./bench.js";
import { Chart } from "./chart.js";
import { Controls, EXPECTED } from "./controls.js";
import { Download } from "./download.js";
import { awaitFacts, clearFacts, showFacts } from "./facts.js";
import { hush, say } from "./notice.js";
import { Pad } from "./pad.js";
import { byId } from "./page.js";
import { Picker } from "./picker.js";
import { clearSnippets, showSnippets } from "./snippets.js";
import { busyInWords, inWords, mayPass } from "./words.js";

const PAUSE_MS = 120;

let chosen: ModelSummary | undefined;
let plan: Plan | undefined;
/** Aborted when what was to be opened could not be. */
let opening = new AbortController();
let asked = new AbortController();
let pending: ReturnType<typeof setTimeout> | undefined;

const access = new Access(() => attempt(start));
const connect = (sleep: Sleep) => access.connect(sleep);
let client: Client;
const picker = new Picker(() => attempt(open));
const controls = new Controls(choose);
const chart = new Chart((compression) => {
  controls.choose(compression);
  choose();
});
const bench = new Bench(connect, explain);
const download = new Download(connect, explain);
const pad = new Pad(() => void bench.run(pad.pixels));

/** A service that is busy is asked again; whoever waits is told. */
async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  const text = busyInWords(milliseconds);
  say(text);
  await rest(milliseconds, signal).finally(() => hush(text));
}

/** Do it; what goes wrong is said, and can be tried again where that can help. A key that is missing or wrong is asked for. */
function attempt(work: () => Promise<void>): void {
  work().catch((error: unknown) => {
    if (error instanceof DOMException && error.name === "AbortError") return;
    say(inWords(error, access.key !== undefined), mayPass(error) ? () => attempt(work) : undefined);
    if (error instanceof AccessRefused) access.ask();
  });
}

/** What making a member failed with, in words: a key that may only read still shows costs and the curve. */
function explain(error: unknown): string {
  if (error instanceof AccessRefused) {
    if (error.code === "forbidden") access.denyMaking();
    else access.ask();
    offer();
  }
  return inWords(error, access.key !== undefined);
}

function settle(): void {
  hush();
  access.settle();
}

/** What the form says costs this much; undefined when that is not known, and then nothing can be done with it. */
function know(found: Plan | undefined): void {
  plan = found;
  if (found === undefined) clearFacts();
  else showFacts(found);
  chart.mark(found);
  offer();
}

function offer(): void {
  byId<HTMLButtonElement>("keep").disabled = plan === undefined;
  download.allow(plan !== undefined && access.mayMake && isSecureContext);
}

async function start(): Promise<void> {
  client = access.connect(sleep);
  try {
    picker.offer(await client.models());
  } finally {
    byId("parts").hidden = picker.chosen === undefined;
  }
  settle();
  if (picker.chosen !== undefined) attempt(open);
  else if (byId("refused").hidden) say("The service has no models.");
}

/** Show what was picked. */
async function open(): Promise<void> {
  const picked = picker.chosen;
  if (picked === undefined) return;
  // Until its form is there nothing is asked: the sizes in the form are those of another model.
  chosen = undefined;
  clearTimeout(pending);
  asked.abort();
  opening.abort();
  const mine = (opening = new AbortController());
  // Nor is anything shown of another model: that would pass for this one's.
  chart.show(undefined);
  know(undefined);
  clearSnippets();
  bench.reset([]);
  download.clear();
  const { name, version } = picked;
  const options = { version, signal: mine.signal };
  const answers = Promise.all([client.model(name, options), client.curve(name, options), client.samples(name, options)]);
  const [model, curve, samples] = await answers.catch((error: unknown) => {
    mine.abort();
    throw error;
  });
  chosen = picked;
  controls.offer(model);
  chart.show(curve);
  bench.reset(model.labels);
  byId("try").hidden = !isSecureContext || !pad.offer(model.input, samples) || model.task !== "classification";
  // The smallest and not the full one: who only looks should not have to fetch the largest there is.
  load(1, "Smallest network", { compression: model.max_compression });
  attempt(update);
}

/** The form says another size: wait until it rests. */
function choose(): void {
  clearTimeout(pending);
  pending = setTimeout(() => {
    if (chosen !== undefined) attempt(update);
    // What is being opened reads the form when it is there; what could not be opened is opened now.
    else if (opening.signal.aborted) attempt(open);
  }, PAUSE_MS);
}

async function update(): Promise<void> {
  if (chosen === undefined) return;
  asked.abort();
  const { signal } = (asked = new AbortController());
  download.clear();
  const { name, version, aliases } = chosen;
  const { selection } = controls;
  if (selection === undefined) {
    know(undefined);
    clearSnippets();
    return say(EXPECTED);
  }
  showSnippets(name, aliases.includes("latest") ? selection : { ...selection, version }, access.key !== undefined);
  awaitFacts();
  try {
    const found = await client.plan(name, { ...selection, version }, { signal });
    settle();
    know(found);
    controls.follow(found);
    load(0, `Chosen: ${titleOf(found)}`, selection);
  } catch (error) {
    if (!signal.aborted) know(undefined);
    throw error;
  }
}

/** Try a size of the chosen model in one of the two lanes, where that is possible. */
function load(lane: 0 | 1, title: string, selection: Selection): void {
  if (chosen === undefined || byId("try").hidden || !access.mayMake) return;
  void bench.load(lane, title, chosen.name, { ...selection, version: chosen.version });
}

function titleOf({ compression, spec }: Plan): string {
  return `${Math.round(100 * compression.effective)} % compressed, ${spec.precision}`;
}

byId("download").addEventListener("click", () => {
  const { selection } = controls;
  if (chosen !== undefined && selection !== undefined) void download.save(chosen.name, { ...selection, version: chosen.version });
});
byId("keep").addEventListener("click", () => {
  if (plan !== undefined) load(1, `Kept: ${titleOf(plan)}`, { widths: plan.spec.widths, precision: plan.spec.precision });
});
byId("unverified").hidden = isSecureContext;
attempt(start);
