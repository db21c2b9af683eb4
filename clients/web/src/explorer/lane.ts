/** One of the sizes that run side by side: its card, with what its network says and what became of a later wish. */
import type { Plan, Session } from "../client/index.js";
import { make } from "./page.js";

export interface Network {
  readonly title: string;
  readonly plan: Plan;
  readonly session: Session;
}

export class Lane {
  readonly card = make("article", { hidden: true });
  readonly #result = make("div");
  readonly #note = make("div");
  #wish = new AbortController();
  network: Network | undefined;

  constructor() {
    this.#note.setAttribute("role", "status");
    this.card.append(this.#result, this.#note);
  }

  /** What the lane waits for is given up for something later. */
  wish(): AbortSignal {
    this.#wish.abort();
    this.#wish = new AbortController();
    this.note();
    return this.#wish.signal;
  }

  show(...result: Node[]): void {
    this.#result.replaceChildren(...result);
    this.#settle();
  }

  note(...note: Node[]): void {
    this.#note.replaceChildren(...note);
    this.#settle();
  }

  #settle(): void {
    this.card.hidden = this.#result.childElementCount + this.#note.childElementCount === 0;
  }
}
