import { configDefaults, defineConfig } from "vitest/config"

// Real parts on the real kernel, one file after the other: two daemons measure and clean up on the same host.
// speed.test.ts measures, and measuring is no test: it runs when CRICKET_SPEED is set.
export default defineConfig({
  test: {
    include: ["test/integration/**/*.test.ts"],
    exclude: [...configDefaults.exclude, ...(process.env["CRICKET_SPEED"] ? [] : ["**/speed.test.ts"])],
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 120_000
  }
})
