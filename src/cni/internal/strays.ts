/** Plugins that outlive their call: children of a killed plugin, or the plugins of a daemon that was killed. */
import { Effect } from "effect"
import type { Files } from "../../linux/Files.ts"
import { hasEnded, type Processes, type ProcessInfo } from "../../linux/Processes.ts"
import { SIGKILL } from "../../model/Signal.ts"

const rounds = 100

/**
 * Ends every process that works for the pod, so that DEL comes after the last thing that its ADD does. They are known by
 * CNI_CONTAINERID in the environment that they were started with, which IPAM plugins, iptables and so on inherit.
 * Bounded (about a second); a process that hangs in the kernel is left to its fate.
 */
export const endStrays = Effect.fnUntraced(function* (
  { files, processes }: { readonly files: Files["Service"]; readonly processes: Processes["Service"] },
  podId: string
) {
  const mark = `CNI_CONTAINERID=${podId}`
  const isStray = (process: ProcessInfo): Effect.Effect<boolean> =>
    files.readText(`/proc/${process.pid}/environ`).pipe(
      Effect.map((environment) => environment.split("\0").includes(mark)),
      Effect.orElseSucceed(() => false)
    )
  for (let round = 0; round < rounds; round++) {
    const running = (yield* processes.list).filter((process) => !hasEnded(process))
    const strays = yield* Effect.filter(running, isStray, { concurrency: 8 })
    if (strays.length === 0) return
    yield* Effect.forEach(strays, (stray) => processes.signal(stray, SIGKILL))
    yield* Effect.sleep("10 millis")
  }
})
