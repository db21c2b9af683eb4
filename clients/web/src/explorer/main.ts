/** The explorer: wires the parts of the page together. */
import { AccessRefused, type Client, type ModelSummary, type Plan, rest, type Selection } from "../client/index.js";
import { Access } from "./access.js";
import { Bench } from "./bench.js";
import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { clearFacts, showFacts } from "./facts.js";
import { hush, say } from "./notice.js";
import { Pad } from "./pad.js";
import { byId, make } from "./page.js";
import { Picker } from "./picker.js";
import { showSnippets } from "./snippets.js";
import { inWords } from "./words.js";

const PAUSE_MS = 120;

let chosen: ModelSummary | undefined;
let plan: Plan | undefined;
let opening = new AbortController();
let asked = new AbortController();
let pending: ReturnType<typeof setTimeout> | undefined;

const access = new Access(() => void start().catch(report));
let client: Client;
const picker = new Picker(() => void open().catch(report));
const controls = new Controls(choose);
const chart = new Chart((compression) => {
  controls.choose(compression);
  choose();
});
const bench = new Bench(() => client, reportMaking);
const pad = new Pad(() => void bench.run(pad.pixels));

/** A service that is busy is asked again; whoever waits is told. */
async function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  say(`The service is busy; it is asked again in ${Math.ceil(milliseconds / 1000)} s.`);
  await rest(milliseconds, signal).finally(hush);
}

/** Say what went wrong; a key that is missing or wrong is asked for. */
function report(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  say(inWords(error, access.key !== undefined));
  if (error instanceof AccessRefused) access.ask();
}

/** The same of what makes a member: a key that may only read still shows costs and the curve. */
function reportMaking(error: unknown): void {
  if (error instanceof AccessRefused && error.code === "forbidden") access.denyMaking();
  else report(error);
}

function settle(): void {
  hush();
  access.settle();
}

async function start(): Promise<void> {
  client = access.connect(sleep);
  try {
    picker.offer(await client.models());
  } finally {
    byId("parts").hidden = picker.chosen === undefined;
  }
  settle();
  if (picker.chosen !== undefined) await open();
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
  opening = new AbortController();
  const { name, version } = picked;
  const options = { version, signal: opening.signal };
  const [model, curve, samples] = await Promise.all([client.model(name, options), client.curve(name, options), client.samples(name, options)]);
  chosen = picked;
  controls.offer(model);
  chart.show(curve);
  bench.reset(model.labels);
  byId("try").hidden = !pad.offer(model.input, samples) || model.task !== "classification";
  // The smallest and not the full one: who only looks should not have to fetch the largest there is.
  load(1, "Smallest network", { compression: model.max_compression });
  await update();
}

/** The form says another size: wait until it rests. */
function choose(): void {
  clearTimeout(pending);
  pending = setTimeout(() => void update().catch(report), PAUSE_MS);
}

async function update(): Promise<void> {
  if (chosen === undefined) return;
  asked.abort();
  const { signal } = (asked = new AbortController());
  const { name, version, aliases } = chosen;
  const selection = controls.selection;
  showSnippets(name, aliases.includes("latest") ? selection : { ...selection, version }, access.key !== undefined);
  try {
    plan = await client.plan(name, { ...selection, version }, { signal });
  } catch (error) {
    if (!signal.aborted) clearFacts();
    throw error;
  }
  settle();
  showFacts(plan);
  chart.mark(plan);
  controls.follow(plan.spec.widths);
  load(0, `Chosen: ${titleOf(plan)}`, selection);
}

/** Try a size of the chosen model in one of the two lanes, where that is possible. */
function load(lane: 0 | 1, title: string, selection: Selection): void {
  if (chosen === undefined || byId("try").hidden || !access.mayMake) return;
  void bench.load(lane, title, chosen.name, { ...selection, version: chosen.version });
}

function titleOf({ compression, spec }: Plan): string {
  return `${Math.round(100 * compression.effective)} % compressed, ${spec.precision}`;
}

async function download({ name, version }: ModelSummary): Promise<void> {
  const { data, manifest } = await client.pull(name, { ...controls.selection, version });
  const url = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
  make("a", { href: url, download: manifest.filename }).click();
  byId("downloaded").textContent = `${manifest.filename}, digest verified`;
  // Not at once: the browser still reads it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

byId("download").addEventListener("click", () => chosen && void download(chosen).catch(reportMaking));
byId("keep").addEventListener("click", () => {
  if (plan !== undefined) load(1, `Kept: ${titleOf(plan)}`, { widths: plan.spec.widths, precision: plan.spec.precision });
});
start().catch(report);
