/** Saves a size as a file, and says how far that is. */
import { type Client, rest, type Selection, type Sleep } from "../client/index.js";
import { byId, make } from "./page.js";
import { busyInWords } from "./words.js";

export class Download {
  readonly #button = byId<HTMLButtonElement>("download");
  readonly #status = byId("downloaded");
  #allowed = false;
  #runs = false;

  constructor(
    private readonly connect: (sleep: Sleep) => Client,
    private readonly explain: (error: unknown) => string,
  ) {}

  allow(allowed: boolean): void {
    this.#allowed = allowed;
    this.#settle();
  }

  /** Another size was chosen: what was said of the last one is over. */
  clear(): void {
    if (!this.#runs) this.#say("");
  }

  async save(model: string, selection: Selection): Promise<void> {
    this.#runs = true;
    this.#settle();
    this.#say("Downloading …");
    try {
      const client = this.connect((milliseconds, signal) => {
        this.#say(busyInWords(milliseconds));
        return rest(milliseconds, signal);
      });
      const onProgress = (received: number, size: number) => this.#say(`Downloading: ${Math.floor((10 * received) / size) * 10} %`);
      const { data, manifest } = await client.pull(model, selection, { onProgress });
      hand(data, manifest.filename);
      this.#say(`${manifest.filename}, digest verified`);
    } catch (error) {
      this.#say(this.explain(error));
    } finally {
      this.#runs = false;
      this.#settle();
    }
  }

  #settle(): void {
    this.#button.disabled = this.#runs || !this.#allowed;
  }

  /** Each text once: whoever hears the page hears every change. */
  #say(text: string): void {
    if (this.#status.textContent !== text) this.#status.textContent = text;
  }
}

/** To the browser, which saves it. */
function hand(data: ArrayBuffer, filename: string): void {
  const url = URL.createObjectURL(new Blob([data], { type: "application/octet-stream" }));
  make("a", { href: url, download: filename }).click();
  // Not at once: the browser still reads it.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
