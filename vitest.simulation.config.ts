import { defineConfig } from "vitest/config"

// The whole server in the simulated world: thousands of runs in one test.
export default defineConfig({
  test: {
    include: ["test/simulation/**/*.test.ts"],
    testTimeout: 15 * 60_000,
    hookTimeout: 60_000
  }
})
