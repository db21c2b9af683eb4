/** The curve as an interactive chart (uPlot), and as a table for those who cannot see it. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import type { Curve, Plan } from "../client/index.js";
import * as format from "./format.js";
import { byId, make } from "./page.js";

const HEIGHT = 280;

type Point = { readonly params: number; readonly quality: number; readonly held_out: boolean; readonly compression: number };

export class Chart {
  readonly #place = byId("chart");
  #plot: uPlot | undefined;
  #curve: Curve | undefined;
  #points: readonly Point[] = [];
  #current: Plan | undefined;

  /** `onPick` is called with the compression of a point that was clicked. */
  constructor(private readonly onPick: (compression: number) => void) {
    new ResizeObserver(() => this.#plot?.setSize(this.#size)).observe(this.#place);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
  }

  /** Undefined shows nothing: the curve is not known. */
  show(curve: Curve | undefined): void {
    this.#curve = curve;
    this.#points = [...(curve?.points ?? [])].sort((a, b) => a.params - b.params);
    this.#draw();
    this.mark(undefined);
    if (curve === undefined) byId("points").replaceChildren();
    else showTable(curve);
  }

  /** Undefined marks nothing: the chosen size is not known. */
  mark(plan: Plan | undefined): void {
    this.#current = plan;
    this.#plot?.setData(this.#data);
    if (plan === undefined) {
      this.#place.setAttribute("aria-label", "The chosen size is not known.");
      return;
    }
    const where = plan.quality.value === null ? "" : `, expected ${format.quality(plan.quality.value, plan.quality.metric)} (${plan.quality.kind})`;
    this.#place.setAttribute("aria-label", `The chosen size: ${format.count(plan.cost.params)} parameters${where}.`);
  }

  #draw(): void {
    this.#plot?.destroy();
    this.#plot = undefined;
    const curve = this.#curve;
    if (curve === undefined || curve.points.length === 0) {
      byId("curve-text").textContent = curve === undefined ? "" : "This model carries no measurements.";
      return;
    }
    byId("curve-text").textContent =
      `Filled points were measured on ${count(curve)}; hollow ones too, at widths that training never saw. ` +
      "The line between them is interpolated. The ring is the chosen size. Click a point to choose it.";
    const plot = (this.#plot = new uPlot(this.#options(curve), this.#data, this.#place));
    plot.over.addEventListener("click", (event) => this.#pick(plot.posToVal(event.offsetX, "x")));
  }

  get #size(): { width: number; height: number } {
    return { width: this.#place.clientWidth, height: HEIGHT };
  }

  /** Abscissas in rising order and each once, as uPlot wants them: the curve's points and the chosen size, which may be one of them. */
  get #data(): uPlot.AlignedData {
    const chosen = this.#current === undefined ? undefined : { params: this.#current.cost.params, quality: this.#current.quality.value };
    const abscissas = [...new Set([...this.#points, ...(chosen === undefined ? [] : [chosen])].map((each) => each.params))].sort((a, b) => a - b);
    const column = (shown: (point: Point) => boolean) => abscissas.map((params) => this.#points.find((point) => point.params === params && shown(point))?.quality ?? null);
    return [
      abscissas,
      column(() => true),
      column((point) => !point.held_out),
      column((point) => point.held_out),
      abscissas.map((params) => (params === chosen?.params ? chosen.quality : null)),
    ];
  }

  #options(curve: Curve): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const [ink, accent, faint, strong] = ["--ink", "--accent", "--line", "--strong"].map((name) => style.getPropertyValue(name).trim());
    const axis = { stroke: ink as string, grid: { stroke: faint as string, width: 1 }, ticks: { stroke: faint as string, width: 1 } };
    const dots = (fill: string) => ({ show: true, size: 9, width: 2, stroke: accent as string, fill });
    return {
      ...this.#size,
      legend: { show: false },
      cursor: { drag: { x: false, y: false } },
      scales: { x: { time: false } },
      axes: [
        { ...axis, label: "parameters", space: 70, size: 34, labelSize: 20, values: (_, ticks) => ticks.map(format.count) },
        { ...axis, label: curve.metric ?? "quality", size: 70, labelSize: 20, values: (_, ticks) => ticks.map((tick) => format.quality(tick, curve.metric)) },
      ],
      series: [
        {},
        { stroke: accent as string, width: 1.5, spanGaps: true, points: { show: false } },
        { width: 0, paths: () => null, points: dots(accent as string) },
        { width: 0, paths: () => null, points: dots(style.getPropertyValue("--paper").trim()) },
        { width: 0, paths: () => null, points: { show: true, size: 17, width: 3, stroke: strong as string, fill: "transparent" } },
      ],
    };
  }

  #pick(wanted: number): void {
    const nearest = [...this.#points].sort((a, b) => Math.abs(a.params - wanted) - Math.abs(b.params - wanted))[0];
    if (nearest !== undefined) this.onPick(nearest.compression);
  }
}

function count(curve: Curve): string {
  return `${(curve.samples ?? 0).toLocaleString("en")} ${curve.split ?? ""} samples`;
}

function showTable(curve: Curve): void {
  const head = ["Compression", "Parameters", "Multiply-adds", curve.metric ?? "Quality", "Widths seen in training"];
  const rows = curve.points.map((point) => [
    `${Math.round(100 * point.compression)} %`,
    format.count(point.params),
    format.count(point.macs),
    format.quality(point.quality, curve.metric),
    point.held_out ? "no" : "yes",
  ]);
  byId("points").replaceChildren(
    make("thead", {}, make("tr", {}, ...head.map((text) => make("th", { scope: "col" }, text)))),
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...row.map((text) => make("td", {}, text))))),
  );
}
