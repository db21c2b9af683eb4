/** What the package is to code that is compiled against it. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "vitest";

const WEB = join(import.meta.dirname, "..");
const CONSUMER = `import { Client } from "./neumeta-client/index.js";
export const size: Promise<number> = new Client("http://127.0.0.1:1").pull("m", { compression: 0.5 }).then(({ data }) => data.byteLength);
`;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "neumeta-client-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Its output is the message of the error where it finds something. */
function compile(...options: string[]): void {
  execFileSync(process.execPath, [join(WEB, "node_modules/typescript/bin/tsc"), ...options], { cwd: folder, stdio: "pipe" });
}

test("its types need no onnxruntime-web, which is an optional peer", () => {
  compile("-p", join(WEB, "tsconfig.build.json"), "--outDir", join(folder, "neumeta-client"));
  writeFileSync(join(folder, "consumer.ts"), CONSUMER);
  // Here, and in the folders above, nothing is installed.
  compile("--strict", "--noEmit", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler", "--types", "", "consumer.ts");
});
