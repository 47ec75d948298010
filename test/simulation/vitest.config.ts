import { defineConfig } from "vitest/config"

// Suites of minutes: `npx vitest run --config test/simulation/vitest.config.ts`.
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/simulation/**/*.test.ts"],
    testTimeout: 600_000
  }
})
