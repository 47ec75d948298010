import { defineConfig } from "vitest/config"

// Real parts on the real kernel, one file after the other: two daemons measure and clean up on the same host.
export default defineConfig({
  test: {
    include: ["test/integration/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000
  }
})
