/** The API key of this visit, and the form that asks for one. */
import { Client, type Sleep } from "../client/index.js";
import { byId } from "./page.js";

const KEY = "neumeta-token";

export class Access {
  readonly #form = byId<HTMLFormElement>("access");
  readonly #input = byId<HTMLInputElement>("token");
  #key = kept();
  #mayMake = true;

  /** `onKey` is called with every key that is entered. */
  constructor(onKey: () => void) {
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#key = this.#input.value.trim();
      keep(this.#key);
      this.#input.value = "";
      this.#mayMake = true;
      this.settle();
      onKey();
    });
  }

  get key(): string | undefined {
    return this.#key;
  }

  /** A client that uses the key. Asks for another one, and throws `InvalidRequest`, when it cannot be a key, as after a careless paste. */
  connect(sleep: Sleep): Client {
    const { key } = this;
    try {
      return new Client(location.origin, { sleep, ...(key === undefined ? {} : { token: key }) });
    } catch (error) {
      // It is not the address: this page came from there.
      this.ask();
      throw error;
    }
  }

  /** Whether members may be made, as far as is known: a key may be for reading alone. */
  get mayMake(): boolean {
    return this.#mayMake;
  }

  ask(): void {
    this.#form.hidden = false;
  }

  /** All was answered: only who may not make anything is still asked for another key. */
  settle(): void {
    this.#form.hidden = this.#mayMake;
    for (const id of ["denied", "try-denied"]) byId(id).hidden = this.#mayMake;
    for (const id of ["bench", "try-text"]) byId(id).hidden = !this.#mayMake;
    byId<HTMLButtonElement>("download").disabled = !this.#mayMake;
  }

  /** The key turned out to be for reading alone. */
  denyMaking(): void {
    this.#mayMake = false;
    this.settle();
  }
}

/** The key that the tab knows. With site data blocked there is no storage; a key is then known until the page is left. */
function kept(): string | undefined {
  try {
    return sessionStorage.getItem(KEY) ?? undefined;
  } catch {
    return undefined;
  }
}

function keep(key: string): void {
  try {
    sessionStorage.setItem(KEY, key);
  } catch {
    // As above.
  }
}
