/**
 * Gives back what pods and containers took: one idempotent, bounded function per kind of resource, used by rollback,
 * removal and recovery alike. What cannot be given back keeps its row and is tried again until it can.
 */
import { Context, Duration, Effect, Fiber, FiberMap, Layer, Schedule } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Cni } from "../cni/Cni.ts"
import { Files } from "../linux/Files.ts"
import { isGone } from "../linux/LinuxError.ts"
import { Mounts } from "../linux/Mounts.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { Jobs } from "./Jobs.ts"
import { ReleaseFailed, type RecordError } from "./PodError.ts"
import { Pods } from "./Pods.ts"
import { describe, type Resource } from "./Resource.ts"
import { releaseRuntime } from "./releaseRuntime.ts"

/** No release may hold up a stop for longer; what needs more is tried again. */
const bound: Record<Resource["_tag"], Duration.Duration> = {
  Namespace: Duration.seconds(10),
  Network: Duration.seconds(70),
  Mount: Duration.seconds(10),
  Directory: Duration.seconds(30),
  Cgroup: Duration.seconds(10),
  Layer: Duration.seconds(60),
  Runtime: Duration.seconds(30)
}

const retryPauses = Schedule.min([Schedule.exponential("1 second"), Schedule.spaced("1 minute")])

export class Releases extends Context.Service<
  Releases,
  {
    /**
     * Gives back these rows of a pod or container, last taken first, and takes them out of its record. All are tried
     * even when one fails; the first failure is the answer.
     */
    readonly release: (
      ownerId: string,
      rows: ReadonlyArray<Resource>
    ) => Effect.Effect<void, ReleaseFailed | RecordError>
    /** Runs a clean-up; when it fails, goes on with it in the background until it succeeds, one per name. */
    readonly insist: <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  }
>()("cricket/pod/Releases") {
  static readonly layer = Layer.effect(
    Releases,
    Effect.gen(function* () {
      const pods = yield* Pods
      const jobs = yield* Jobs
      const files = yield* Files
      const mounts = yield* Mounts
      const namespaces = yield* Namespaces
      const cni = yield* Cni
      const cgroups = yield* Cgroups
      const store = yield* ContainerStore
      const runtime = yield* Effect.context<Effect.Services<ReturnType<typeof releaseRuntime>>>()
      const insisting = yield* FiberMap.make<string, void>()

      const releaseOne = (resource: Resource): Effect.Effect<void, { readonly message: string }> => {
        switch (resource._tag) {
          case "Namespace":
            return namespaces.unpin(resource.path)
          case "Network":
            return cni.del(resource.attachment)
          case "Mount":
            return mounts.unmount(resource.path, { detach: true }).pipe(
              // EINVAL: not a mount point (any more).
              Effect.catchIf(
                (error) => isGone(error) || error.code === "EINVAL",
                () => Effect.void
              )
            )
          case "Directory":
            return files.removeTree(resource.path)
          case "Cgroup":
            return cgroups.removeIfEmpty(resource.path)
          case "Layer":
            return store.remove(resource.containerId)
          case "Runtime":
            return Effect.provideContext(releaseRuntime(resource), runtime)
        }
      }

      const releaseRows = Effect.fnUntraced(function* (ownerId: string, rows: ReadonlyArray<Resource>) {
        const gone: Array<Resource> = []
        const failures: Array<ReleaseFailed> = []
        for (const resource of rows.toReversed()) {
          yield* releaseOne(resource).pipe(
            Effect.timeoutOrElse({
              duration: bound[resource._tag],
              orElse: () => Effect.fail(new Error(`not done in ${Duration.format(bound[resource._tag])}`))
            }),
            Effect.match({
              onSuccess: () => void gone.push(resource),
              onFailure: (cause) =>
                void failures.push(new ReleaseFailed({ object: ownerId, resource: describe(resource), cause }))
            })
          )
        }
        yield* pods.released(ownerId, gone)
        if (failures[0] !== undefined) return yield* failures[0]
      })

      /** In a fiber of its own: whoever asks may be on its way out, and each bound needs an interruptible fiber. */
      const release = Effect.fn("Releases.release")(function* (ownerId: string, rows: ReadonlyArray<Resource>) {
        if (rows.length === 0) return
        const fiber = yield* Effect.forkDetach(releaseRows(ownerId, rows), { startImmediately: true })
        yield* Effect.uninterruptible(Fiber.join(fiber))
      })

      const insist = <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        cleanUp.pipe(
          Effect.tapError((error) =>
            Effect.logWarning(`${name} failed and is tried again: ${String(error)}`).pipe(
              Effect.andThen(
                cleanUp.pipe(
                  Effect.delay("1 second"),
                  Effect.retry(retryPauses),
                  jobs.waiting(`${name}, tried again`),
                  Effect.ignore,
                  FiberMap.run(insisting, name, { onlyIfMissing: true })
                )
              )
            )
          )
        )

      return Releases.of({ release, insist })
    })
  )
}
