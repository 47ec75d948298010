/** What a container uses now: its cgroup's counters and its writable layer. */
import { Clock, Context, Effect, Layer, Option } from "effect"
import type { CgroupError } from "../cgroup/CgroupError.ts"
import { Cgroups, type MemoryUse, type Pressure, type SwapUse } from "../cgroup/Cgroups.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import type { ContainerRecord } from "../pod/ContainerRecord.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { LayerUsage, type Measured } from "./LayerUsage.ts"

/** Whatever cannot be read is undefined: a cgroup goes at any moment, and not every kernel has every controller. */
export interface ContainerSample {
  /** Of all but the layer, which has its own. Nanoseconds since the epoch. */
  readonly atNs: bigint
  readonly cpuTimeNs: bigint | undefined
  readonly memory: MemoryUse | undefined
  readonly swap: SwapUse | undefined
  readonly pressure: {
    readonly cpu: Pressure | undefined
    readonly memory: Pressure | undefined
    readonly io: Pressure | undefined
  }
  readonly layer: (Measured & { readonly mountpoint: string }) | undefined
}

export class ContainerStats extends Context.Service<
  ContainerStats,
  {
    readonly sample: (container: ContainerRecord) => Effect.Effect<ContainerSample>
  }
>()("cricket/stats/ContainerStats") {
  static readonly layer = Layer.effect(
    ContainerStats,
    Effect.gen(function* () {
      const cgroups = yield* Cgroups
      const layers = yield* LayerUsage
      const { mountpoint } = yield* ContainerStore

      const sample = Effect.fn("ContainerStats.sample")(function* (container: ContainerRecord) {
        const atNs = yield* Clock.currentTimeNanos
        const known = orUndefined(container.id)
        const runtime = container.resources.find((row) => row._tag === "Runtime")
        const read = <A>(reader: (cgroup: string) => Effect.Effect<A, LinuxError | CgroupError>) =>
          runtime === undefined ? Effect.undefined : known(reader(runtime.cgroup))
        return yield* Effect.all(
          {
            atNs: Effect.succeed(atNs),
            cpuTimeNs: read(cgroups.cpuTimeNs),
            memory: read(cgroups.memory),
            swap: read(cgroups.swap),
            pressure: Effect.all({
              cpu: read((cgroup) => cgroups.pressure(cgroup, "cpu")),
              memory: read((cgroup) => cgroups.pressure(cgroup, "memory")),
              io: read((cgroup) => cgroups.pressure(cgroup, "io"))
            }),
            layer: Effect.map(layers.of(container.id), (measured) =>
              Option.isNone(measured) ? undefined : { ...measured.value, mountpoint }
            )
          },
          { concurrency: "unbounded" }
        )
      })

      return ContainerStats.of({ sample })
    })
  )
}

const orUndefined =
  (id: string) =>
  <A>(read: Effect.Effect<A, LinuxError | CgroupError>): Effect.Effect<A | undefined> =>
    Effect.catch(read, (error) =>
      Effect.as(Effect.logDebug(`a statistic of container ${id} is left out: ${error.message}`), undefined)
    )
