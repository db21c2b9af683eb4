/** What the explorer page shows to be copied. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { snippets } from "../src/explorer/snippets.js";

test("whatever a manifold calls its groups is text for the shell", () => {
  const widths = { "conv1's": 8, "'; echo ran; '": 8, "$(echo ran) `echo ran` \" \\": 8, "'": 8 };
  const command = snippets("http://127.0.0.1:8080", "m", { widths }, false).curl;
  const words = execFileSync("bash", ["-c", `curl() { printf '%s\\n' "$@"; }\n${command}`], { encoding: "utf8" });
  expect(words.split("\n")).toEqual([
    "--fail",
    "--remote-header-name",
    "--remote-name",
    "-H",
    "Content-Type: application/json",
    "-d",
    JSON.stringify({ widths }),
    "-H",
    "Accept: application/octet-stream",
    "http://127.0.0.1:8080/v1/models/m/materialize",
    "",
  ]);
});
