/** The current choice as code to copy. */
import type { Selection } from "../client/index.js";
import { byId, make } from "./page.js";

type Language = "curl" | "Python" | "TypeScript";

/** Code that fetches a selection of a model from this service. */
export function snippets(origin: string, model: string, selection: Selection): Readonly<Record<Language, string>> {
  const body = JSON.stringify(selection);
  const { precision, ...selector } = selection;
  const given = Object.entries(selector).map(([name, value]) => `${name}=${JSON.stringify(value)}`);
  return {
    curl: `curl --fail --remote-header-name --remote-name \\\n  --json '${body}' -H 'Accept: application/octet-stream' \\\n  ${origin}/v1/models/${model}/materialize`,
    Python: `from neumeta_client import Client\n\nwith Client("${origin}") as client:\n    artifact = client.pull("${model}", ${given.join(", ")}, precision="${precision}")\n    session = artifact.session()`,
    TypeScript: `import { Client, createSession } from "neumeta-client";\n\nconst artifact = await new Client("${origin}").pull("${model}", ${body});\nconst session = await createSession(artifact);`,
  };
}

export function showSnippets(model: string, selection: Selection): void {
  const blocks = Object.entries(snippets(location.origin, model, selection)).map(([language, code]) => {
    const button = make("button", { type: "button" }, `Copy ${language}`);
    button.addEventListener("click", () => void copy(code, button, language));
    const text = make("pre", { tabIndex: 0 }, make("code", {}, code));
    text.setAttribute("aria-label", language);
    text.setAttribute("role", "region");
    return make("div", { className: "snippet" }, text, button);
  });
  byId("snippets").replaceChildren(...blocks);
}

async function copy(code: string, button: HTMLButtonElement, language: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text and copy it";
  }
  setTimeout(() => (button.textContent = `Copy ${language}`), 2000);
}
