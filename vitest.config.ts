import { defineConfig } from "vitest/config"

// What needs neither minutes nor a network of its own. scripts/test.mjs runs this and the three others.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/integration/**", "test/conformance/**", "test/simulation/**"],
    testTimeout: 20_000
  }
})
