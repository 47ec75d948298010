import { defineConfig } from "vitest/config"

// crictl and critest against the daemon, one after the other.
export default defineConfig({
  test: {
    include: ["test/conformance/**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 25 * 60_000,
    hookTimeout: 10 * 60_000
  }
})
