/** Which version of which model is looked at. */
import type { ModelSummary } from "../client/index.js";
import { byId, make } from "./page.js";

export class Picker {
  readonly #model = byId<HTMLSelectElement>("model");
  readonly #version = byId<HTMLSelectElement>("version");
  #ready: readonly ModelSummary[] = [];

  /** `onPick` is called whenever another one is chosen. */
  constructor(onPick: () => void) {
    this.#model.addEventListener("change", () => {
      this.#offerVersions();
      onPick();
    });
    this.#version.addEventListener("change", onPick);
  }

  /** Offer the models that are ready, the first one chosen, and say which are not served. */
  offer(models: readonly ModelSummary[]): void {
    this.#ready = models.filter(({ state }) => state === "ready");
    const names = [...new Set(this.#ready.map(({ name }) => name))];
    this.#model.replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    const refused = models.filter(({ state }) => state === "refused");
    byId("refused").hidden = refused.length === 0;
    byId("refused").textContent = refused.map(({ name, version, reason }) => `${name} ${version} is not served: ${reason}`).join(" ");
    this.#offerVersions();
  }

  /** Undefined when no model is ready. */
  get chosen(): ModelSummary | undefined {
    return this.#versions.find(({ version }) => String(version) === this.#version.value);
  }

  get #versions(): readonly ModelSummary[] {
    return this.#ready.filter(({ name }) => name === this.#model.value).sort((a, b) => b.version - a.version);
  }

  /** Newest first, and `latest` chosen; one alone is no choice. */
  #offerVersions(): void {
    this.#version.replaceChildren(
      ...this.#versions.map(({ version, aliases }) => {
        const names = aliases.length > 0 ? ` (${aliases.join(", ")})` : "";
        return make("option", { value: String(version), selected: aliases.includes("latest") }, `${version}${names}`);
      }),
    );
    byId("version-field").hidden = this.#versions.length < 2;
  }
}
