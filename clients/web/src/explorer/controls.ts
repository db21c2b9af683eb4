/** The form that says a size. */
import type { Cost, Model, Plan, Precision, Selection } from "../client/index.js";
import { byId, make } from "./page.js";

const MODES = ["compression", "budget", "rung", "widths"] as const;
type Mode = (typeof MODES)[number];
const BYTES_PER_KB = 1000;
/** What a budget's number says when it says nothing that can be kept. */
export const EXPECTED = "Type a number of at least 1.";

export class Controls {
  readonly #compression = byId<HTMLInputElement>("compression");
  readonly #budget = byId<HTMLInputElement>("budget");
  readonly #unit = byId<HTMLSelectElement>("unit");
  readonly #rung = byId<HTMLSelectElement>("rung");
  readonly #precision = byId<HTMLSelectElement>("precision");
  readonly #widths = byId("by-widths");
  #cost: Cost | undefined;

  /** `onChange` is called whenever the form says another size. */
  constructor(onChange: () => void) {
    byId("choice").addEventListener("input", (event) => {
      if (event.target === this.#unit) this.#convert();
      this.#show();
      onChange();
    });
  }

  /** Offer what a model allows, starting at its middle. */
  offer(model: Model): void {
    this.#compression.max = String(model.max_compression);
    this.#compression.value = String(Math.round(50 * model.max_compression) / 100);
    this.#budget.value = String(Math.ceil(model.costs.full.bytes / BYTES_PER_KB / 2));
    this.#unit.value = "bytes";
    this.#cost = undefined;
    const rungs = Object.keys(model.rungs);
    this.#rung.replaceChildren(...rungs.map((rung) => make("option", { value: rung }, rung)));
    byId("rung-mode").hidden = rungs.length === 0;
    if (rungs.length === 0 && this.#mode === "rung") this.#radio("compression").checked = true;
    this.#precision.replaceChildren(...model.precisions.map((precision) => make("option", { value: precision }, precision)));
    this.#widths.replaceChildren(
      ...model.groups.map((group, index) => {
        const id = `width-${index}`;
        const slider = make("input", {
          id,
          name: group.name,
          type: "range",
          min: String(group.minimum),
          max: String(group.full),
          step: String(group.granularity),
          value: String(group.full),
        });
        const text = make("output");
        text.setAttribute("for", id);
        return make("div", { className: "slider" }, make("label", { htmlFor: id }, group.name), slider, text);
      }),
    );
    this.#show();
  }

  /** Move the sliders of the groups to the widths of a size that was chosen otherwise. */
  follow({ spec, cost }: Plan): void {
    this.#cost = cost;
    if (this.#mode === "widths") return;
    for (const slider of this.#sliders) slider.value = String(spec.widths[slider.name] ?? slider.value);
    this.#show();
  }

  /** Say a compression. */
  choose(compression: number): void {
    this.#radio("compression").checked = true;
    this.#compression.value = String(compression);
    this.#show();
  }

  /** Undefined while the form says no size. */
  get selection(): Selection | undefined {
    const precision = this.#precision.value as Precision;
    switch (this.#mode) {
      case "budget": {
        const most = this.#budget.valueAsNumber;
        return most >= 1 ? { budget: { [this.#unit.value]: Math.floor(most * this.#scale) }, precision } : undefined;
      }
      case "rung":
        return { rung: this.#rung.value, precision };
      case "widths":
        return { widths: Object.fromEntries(this.#sliders.map((slider) => [slider.name, slider.valueAsNumber])), precision };
      default:
        return { compression: this.#compression.valueAsNumber, precision };
    }
  }

  get #mode(): Mode {
    return (document.querySelector<HTMLInputElement>("input[name=mode]:checked")?.value ?? "compression") as Mode;
  }

  /** What one of the budget's unit is in that of the service. */
  get #scale(): number {
    return this.#unit.value === "bytes" ? BYTES_PER_KB : 1;
  }

  /** The budget in its new unit: what the size costs that the last one led to. */
  #convert(): void {
    const cost = this.#cost?.[this.#unit.value as keyof Cost];
    if (cost !== undefined) this.#budget.value = String(Math.ceil(cost / this.#scale));
  }

  get #sliders(): HTMLInputElement[] {
    return [...this.#widths.querySelectorAll("input")];
  }

  #radio(mode: Mode): HTMLInputElement {
    return document.querySelector<HTMLInputElement>(`input[name=mode][value=${mode}]`) as HTMLInputElement;
  }

  #show(): void {
    for (const mode of MODES) byId(`by-${mode}`).hidden = mode !== this.#mode;
    byId("compression-text").textContent = `${Math.round(100 * this.#compression.valueAsNumber)} %`;
    for (const slider of this.#sliders) {
      const text = slider.nextElementSibling;
      if (text !== null) text.textContent = `${slider.value} of ${slider.max}`;
    }
  }
}
