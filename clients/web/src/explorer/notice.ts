/** The one line above all that says what is the matter. */
import { byId } from "./page.js";

export function say(text: string): void {
  const notice = byId("notice");
  notice.hidden = false;
  notice.textContent = text;
}

export function hush(): void {
  byId("notice").hidden = true;
}
