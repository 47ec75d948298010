/** A simulated host as an environment of the contract suites. */
import { Effect, Layer } from "effect"
import { installHost } from "../world/programs/host.ts"
import { seamLayer } from "../world/layers.ts"
import { World } from "../world/World.ts"
import type { Programs } from "./contracts/environment.ts"

/** A fresh world for each build, driven by the wall clock because the suites were written for the real one. */
export const simulatedLayer = Layer.unwrap(
  Effect.gen(function* () {
    const world = installHost(new World())
    const stop = world.engine.live()
    yield* Effect.addFinalizer(() => Effect.sync(stop))
    return seamLayer(world, world.startLife())
  })
)

export const simulatedRoot = "/var/tmp/contract"

export const programs: Programs = {
  exit: (code) => ({ path: "/bin/sh", args: ["-c", `exit ${code}`] }),
  cat: { path: "/bin/cat", args: [] },
  sleep: (seconds) => ({ path: "/bin/sleep", args: [String(seconds)] }),
  print: (stdout, stderr) => ({ path: "/bin/sh", args: ["-c", `printf '${stdout}'; printf '${stderr}' >&2`] }),
  environment: { path: "/usr/bin/env", args: [] },
  workingDirectory: { path: "/bin/pwd", args: [] },
  terminalSize: { path: "/bin/sh", args: ["-c", "line; stty size"] },
  missing: "/no/such/program"
}
