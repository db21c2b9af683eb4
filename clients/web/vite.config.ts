import { defineConfig } from "vite";

// Straight into the service's package, which serves it and ships it in its wheel.
export default defineConfig({
  build: { outDir: "../../service/neumeta_service/explorer", emptyOutDir: true, target: "es2022", modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
});
