import { defineConfig } from "vitest/config"

// Fast suites only: what needs root, real parts or minutes has a runner of its own (scripts/test.mjs lists them).
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    exclude: ["test/integration/**", "test/conformance/**", "test/simulation/**"],
    testTimeout: 20_000
  }
})
