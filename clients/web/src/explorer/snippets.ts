/** The current choice as code to copy. */
import type { Selection } from "../client/index.js";
import { byId, make } from "./page.js";

const COPY = "Copy";

type Language = "curl" | "Python" | "TypeScript";

/** Code that fetches a selection of a model from this service, with the key that `NEUMETA_CLIENT_TOKEN` holds where one is needed. */
export function snippets(origin: string, model: string, selection: Selection, needsKey: boolean): Readonly<Record<Language, string>> {
  const body = JSON.stringify(selection);
  const given = Object.entries(selection).map(([name, value]) => `, ${name}=${JSON.stringify(value)}`);
  const header = needsKey ? ` \\\n  -H "Authorization: Bearer $NEUMETA_CLIENT_TOKEN"` : "";
  const options = needsKey ? ", { token }" : "";
  return {
    curl: `curl --fail --remote-header-name --remote-name \\\n  -H 'Content-Type: application/json' -d ${word(body)} \\\n  -H 'Accept: application/octet-stream'${header} \\\n  ${origin}/v1/models/${model}/materialize`,
    Python: `from neumeta_client import Client\n\nwith Client("${origin}") as client:\n    artifact = client.pull("${model}"${given.join("")})\n    session = artifact.session()`,
    TypeScript: `import { Client, createSession } from "neumeta-client";\n\nconst client = new Client("${origin}"${options});\nconst artifact = await client.pull("${model}", ${body});\nconst session = await createSession(artifact);`,
  };
}

/** Text as one word for a shell. In single quotes nothing but their end means anything, and names in a manifold are any text. */
function word(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

export function showSnippets(model: string, selection: Selection, needsKey: boolean): void {
  const blocks = Object.entries(snippets(location.origin, model, selection, needsKey)).map(([language, code]) => {
    const button = make("button", { type: "button" }, COPY);
    button.setAttribute("aria-label", `${COPY} ${language}`);
    button.addEventListener("click", () => void copy(code, button));
    const text = make("pre", { tabIndex: 0 }, make("code", {}, code));
    text.setAttribute("aria-label", language);
    text.setAttribute("role", "region");
    return make("div", { className: "snippet" }, make("div", {}, make("h3", {}, language), button), text);
  });
  byId("snippets").replaceChildren(...blocks);
}

export function clearSnippets(): void {
  byId("snippets").replaceChildren();
}

async function copy(code: string, button: HTMLButtonElement): Promise<void> {
  try {
    await navigator.clipboard.writeText(code);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select the text and copy it";
  }
  setTimeout(() => (button.textContent = COPY), 2000);
}
