import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

// Suites of minutes: `npx vitest run --config test/simulation/vitest.config.ts`. One file after the other and all in one
// process: the work is done by the crew (crew/Crew.ts), which keeps every core busy and what it has compiled.
export default defineConfig({
  test: {
    root: new URL("../..", import.meta.url).pathname,
    include: ["test/simulation/**/*.test.ts"],
    testTimeout: 600_000,
    fileParallelism: false,
    isolate: false,
    maxConcurrency: availableParallelism()
  }
})
