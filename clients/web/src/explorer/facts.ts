/** What the chosen size costs and how good it is. */
import type { Plan } from "../client/index.js";
import * as format from "./format.js";
import { byId } from "./page.js";

export function showFacts(plan: Plan): void {
  const { cost, quality } = plan;
  byId("params").textContent = format.count(cost.params);
  byId("macs").textContent = format.count(cost.macs);
  byId("bytes").textContent = format.size(cost.bytes);
  byId("metric").textContent = quality.metric === null ? "Quality" : `Expected ${quality.metric}`;
  byId("quality").textContent = quality.value === null ? "not measured" : `${format.quality(quality.value, quality.metric)} (${promise(plan)})`;
}

/** Nothing is known of what the form says. */
export function clearFacts(): void {
  for (const id of ["params", "macs", "bytes", "quality"]) byId(id).textContent = "–";
}

/** How the number was come by; one that was measured in another format says so. */
function promise({ quality, spec }: Plan): string {
  return quality.precision === spec.precision ? quality.kind : `${quality.kind} in ${quality.precision}`;
}
