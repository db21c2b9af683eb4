/** The explorer: wires the parts of the page together. */
import { Client, type Model, NeuMetaClientError, type Plan, type Selection } from "../client/index.js";
import { Bench } from "./bench.js";
import { Chart } from "./chart.js";
import { Controls } from "./controls.js";
import { showFacts } from "./facts.js";
import { Pad } from "./pad.js";
import { byId, make } from "./page.js";
import { showSnippets } from "./snippets.js";

const PAUSE_MS = 120;
const TOKEN = "neumeta-token";

let client = connect();
let model: Model | undefined;
let plan: Plan | undefined;
let asked = new AbortController();
let pending: ReturnType<typeof setTimeout> | undefined;

const controls = new Controls(choose);
const chart = new Chart((compression) => {
  controls.choose(compression);
  choose();
});
const bench = new Bench(() => client, report);
const pad = new Pad(() => void bench.run(pad.pixels));

function connect(): Client {
  const token = sessionStorage.getItem(TOKEN);
  return new Client(location.origin, token === null ? {} : { token });
}

/** Say what went wrong; a missing API key is asked for. */
function report(error: unknown): void {
  if (error instanceof DOMException && error.name === "AbortError") return;
  const notice = byId("notice");
  notice.hidden = false;
  notice.textContent = error instanceof Error ? error.message : String(error);
  const status = error instanceof NeuMetaClientError ? error.problem.status : undefined;
  byId("access").hidden = !(status === 401 || status === 403);
}

function settle(): void {
  byId("notice").hidden = true;
  byId("access").hidden = true;
}

async function start(): Promise<void> {
  const models = await client.models();
  settle();
  const ready = models.filter(({ state }) => state === "ready");
  const names = [...new Set(ready.map(({ name }) => name))];
  byId("model").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
  const refused = models.filter(({ state }) => state === "refused");
  if (refused.length > 0) report(new Error(refused.map(({ name, version, reason }) => `${name} ${version} is not served: ${reason}`).join(" ")));
  if (names[0] !== undefined) await open(names[0]);
  else if (refused.length === 0) report(new Error("The service has no models."));
}

/** Show another model. */
async function open(name: string): Promise<void> {
  const [opened, curve, samples] = await Promise.all([client.model(name), client.curve(name), client.samples(name)]);
  model = opened;
  controls.offer(opened);
  chart.show(curve);
  bench.reset(opened.labels);
  byId("try").hidden = !pad.offer(opened.input, samples) || opened.task !== "classification";
  if (!byId("try").hidden) void bench.load(1, "Full network", name, { compression: 0 });
  await update();
}

/** The form says another size: wait until it rests. */
function choose(): void {
  clearTimeout(pending);
  pending = setTimeout(() => void update().catch(report), PAUSE_MS);
}

async function update(): Promise<void> {
  if (model === undefined) return;
  asked.abort();
  asked = new AbortController();
  const { name } = model;
  const selection = controls.selection;
  showSnippets(name, selection);
  plan = await client.plan(name, selection, { signal: asked.signal });
  settle();
  showFacts(plan);
  chart.mark(plan);
  controls.follow(plan.spec.widths);
  if (!byId("try").hidden) void bench.load(0, `Chosen: ${titleOf(plan)}`, name, selection);
}

function titleOf(chosen: Plan): string {
  return `${Math.round(100 * chosen.compression.effective)} % compressed, ${chosen.spec.precision}`;
}

async function download(name: string, selection: Selection): Promise<void> {
  const { data, manifest } = await client.pull(name, selection);
  const url = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
  make("a", { href: url, download: manifest.filename }).click();
  byId("downloaded").textContent = `${manifest.filename}, digest verified`;
  // Not at once: the browser still reads it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

byId("model").addEventListener("change", (event) => void open((event.target as HTMLSelectElement).value).catch(report));
byId("download").addEventListener("click", () => model && void download(model.name, controls.selection).catch(report));
byId("keep").addEventListener("click", () => {
  if (model !== undefined && plan !== undefined) void bench.load(1, `Kept: ${titleOf(plan)}`, model.name, { widths: plan.spec.widths, precision: plan.spec.precision });
});
byId("access").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId<HTMLInputElement>("token").value);
  client = connect();
  start().catch(report);
});
start().catch(report);
