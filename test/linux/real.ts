/** The real host as an environment of the contract suites. */
import { mkdtempSync, realpathSync } from "node:fs"
import { tmpdir } from "node:os"
import { afterAll } from "vitest"
import { Effect } from "effect"
import { Files } from "../../src/linux/Files.ts"
import type { Programs } from "./contracts/environment.ts"

/** A scratch directory that goes when the file's tests are done; a mount left below it would make that fail. */
export const scratchRoot = (): string => {
  const root = realpathSync(mkdtempSync(`${tmpdir()}/cricket-linux-`))
  afterAll(async () => {
    await Effect.runPromise(Effect.flatMap(Files, (files) => files.removeTree(root)).pipe(Effect.provide(Files.layer)))
  })
  return root
}

export const programs: Programs = {
  exit: (code) => ({ path: "/bin/sh", args: ["-c", `exit ${code}`] }),
  cat: { path: "/bin/cat", args: [] },
  sleep: (seconds) => ({ path: "/bin/sleep", args: [String(seconds)] }),
  print: (stdout, stderr) => ({
    path: "/bin/sh",
    args: ["-c", 'printf %s "$1"; printf %s "$2" >&2', "sh", stdout, stderr]
  }),
  environment: { path: "/usr/bin/env", args: [] },
  workingDirectory: { path: "/bin/pwd", args: [] },
  terminalSize: { path: "/bin/sh", args: ["-c", 'IFS= read -r line; printf "%s\\n" "$line"; stty size'] },
  missing: "/no/such/program"
}
