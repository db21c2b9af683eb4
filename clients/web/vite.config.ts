import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

// Straight into the service's package, which serves it and ships it in its wheel.
const PACKAGE = join(import.meta.dirname, "../../service/neumeta_service/explorer");

/** Beside each asset the same compressed, once and as well as it goes, so that the service compresses nothing while it serves. */
const compressed: Plugin = {
  name: "compressed",
  apply: "build",
  async closeBundle() {
    const folder = join(PACKAGE, "assets");
    for (const name of await readdir(folder)) {
      await writeFile(join(folder, `${name}.gz`), await promisify(gzip)(await readFile(join(folder, name)), { level: 9 }));
    }
  },
};

export default defineConfig({
  plugins: [compressed],
  build: { outDir: PACKAGE, emptyOutDir: true, target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
});
