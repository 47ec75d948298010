import { defineConfig } from "vitest/config"

const include = ["test/**/*.test.ts"]
const exclude = ["test/integration/**", "test/conformance/**", "test/simulation/**"]

/** Their subject keeps files open for the life of a process, and they count or break them. */
const alone = ["test/linux/Files.test.ts", "test/linux/internal/kernelTexts.test.ts"]

// What needs neither minutes nor a network of its own. scripts/test.mjs runs this and the three others. Loading the
// source anew for each file takes several times as long as the tests: files share a process, one after the other.
export default defineConfig({
  test: {
    testTimeout: 20_000,
    projects: [
      { extends: true, test: { name: "shared", include, exclude: [...exclude, ...alone], isolate: false } },
      { extends: true, test: { name: "alone", include: alone } }
    ]
  }
})
