/** The one line above all that says what is the matter. */
import { byId, make } from "./page.js";

let said = "";

/** With `again` there is a button that calls it. */
export function say(text: string, again?: () => void): void {
  said = text;
  const notice = byId("notice");
  notice.hidden = false;
  notice.replaceChildren(text);
  if (again === undefined) return;
  const button = make("button", { type: "button" }, "Try again");
  button.addEventListener("click", () => {
    hush();
    again();
  });
  notice.append(" ", button);
}

/** Hide it; with a text only if it still says that. */
export function hush(text?: string): void {
  if (text === undefined || text === said) byId("notice").hidden = true;
}
