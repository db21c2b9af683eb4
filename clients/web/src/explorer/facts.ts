/** What the chosen size costs and how good it is. */
import type { Plan } from "../client/index.js";
import * as format from "./format.js";
import { byId } from "./page.js";

/** Other numbers are on their way. */
export function awaitFacts(): void {
  setBusy(true);
}

export function showFacts(plan: Plan): void {
  setBusy(false);
  const { cost, quality } = plan;
  byId("params").textContent = format.count(cost.params);
  byId("macs").textContent = format.count(cost.macs);
  byId("bytes").textContent = format.size(cost.bytes);
  byId("metric").textContent = quality.metric === null ? "Quality" : `Expected ${quality.metric}`;
  byId("quality").textContent = quality.value === null ? "not measured" : `${format.quality(quality.value, quality.metric)} (${promise(plan)})`;
}

/** Nothing is known of what the form says. */
export function clearFacts(): void {
  setBusy(false);
  for (const id of ["params", "macs", "bytes", "quality"]) byId(id).textContent = "–";
}

function setBusy(busy: boolean): void {
  byId("facts").setAttribute("aria-busy", String(busy));
}

/** How the number was come by; one that was measured in another format says so. */
function promise({ quality, spec }: Plan): string {
  return quality.precision === spec.precision ? quality.kind : `${quality.kind} in ${quality.precision}`;
}
