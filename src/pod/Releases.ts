/**
 * Gives back what pods and containers took: one idempotent, bounded function per kind of resource, used by rollback,
 * removal and recovery alike. What cannot be given back keeps its row and is tried again until it can.
 */
import { Cause, Clock, Context, Duration, Effect, Exit, Fiber, FiberMap, Layer } from "effect"
import { Cgroups } from "../cgroup/Cgroups.ts"
import { Cni } from "../cni/Cni.ts"
import { Files } from "../linux/Files.ts"
import { isUnmounted } from "../linux/LinuxError.ts"
import { Mounts } from "../linux/Mounts.ts"
import { Namespaces } from "../linux/Namespaces.ts"
import { ContainerStore } from "../store/ContainerStore.ts"
import { Jobs } from "./Jobs.ts"
import { ReleaseFailed, ReleaseTimeout } from "./PodError.ts"
import { Pods } from "./Pods.ts"
import { describe, type Resource, standsOn } from "./Resource.ts"
import { releaseRuntime } from "./releaseRuntime.ts"

/** No release may hold up a stop for longer; what needs more is tried again. */
const bound: Record<Resource["_tag"], Duration.Duration> = {
  Namespace: Duration.seconds(10),
  Network: Duration.seconds(70),
  Mount: Duration.seconds(10),
  Directory: Duration.seconds(30),
  Cgroup: Duration.seconds(10),
  Layer: Duration.seconds(60),
  ImageVolume: Duration.seconds(60),
  Runtime: Duration.seconds(30)
}

/** Milliseconds between attempts in the background: doubled from the first to the last. */
const retryPauses = { first: 1_000, last: 60_000 }

export class Releases extends Context.Service<
  Releases,
  {
    /**
     * Gives back these rows of a pod or container, last taken first, and takes them out of its record. When one fails,
     * those below it wait for it, all others are tried; the first failure is the answer.
     */
    readonly release: (ownerId: string, rows: ReadonlyArray<Resource>) => Effect.Effect<void, ReleaseFailed>
    /** Runs a clean-up; when it fails, goes on with it in the background until it succeeds, one per name. */
    readonly insist: <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
    /** The background part of that alone, for a clean-up that has just failed. */
    readonly persevere: <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>) => Effect.Effect<void, never, R>
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
            return mounts.unmount(resource.path, { detach: true }).pipe(Effect.catchIf(isUnmounted, () => Effect.void))
          case "Directory":
            return files.removeTree(resource.path)
          case "Cgroup":
            return cgroups.removeIfEmpty(resource.path)
          case "Layer":
            return store.remove(resource.containerId)
          case "ImageVolume":
            return store.remove(resource.volumeId)
          case "Runtime":
            return Effect.provideContext(releaseRuntime(resource), runtime)
        }
      }

      const releaseRows = Effect.fnUntraced(function* (ownerId: string, rows: ReadonlyArray<Resource>) {
        const gone: Array<Resource> = []
        const stuck: Array<Resource> = []
        const failures: Array<ReleaseFailed> = []
        for (const resource of rows.toReversed()) {
          if (stuck.some((upper) => standsOn(upper, resource))) {
            stuck.push(resource)
            continue
          }
          const exit = yield* Effect.exit(
            releaseOne(resource).pipe(
              Effect.timeoutOrElse({
                duration: bound[resource._tag],
                orElse: () => Effect.fail(new ReleaseTimeout({ limit: Duration.format(bound[resource._tag]) }))
              })
            )
          )
          if (Exit.isSuccess(exit)) {
            gone.push(resource)
            continue
          }
          // A defect too leaves the other rows their chance.
          stuck.push(resource)
          const cause = Cause.squash(exit.cause)
          failures.push(new ReleaseFailed({ object: ownerId, resource: describe(resource), cause }))
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

      const untilDone = Effect.fnUntraced(function* <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>) {
        const beganMs = yield* Clock.currentTimeMillis
        for (let pauseMs = retryPauses.first; ; pauseMs = Math.min(pauseMs * 2, retryPauses.last)) {
          yield* Effect.sleep(pauseMs)
          const exit = yield* Effect.exit(cleanUp)
          if (Exit.isFailure(exit)) continue
          const took = Duration.format(Duration.millis((yield* Clock.currentTimeMillis) - beganMs))
          return yield* Effect.logInfo(`${name} has succeeded after ${took}`)
        }
      })

      const persevere = <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>): Effect.Effect<void, never, R> =>
        untilDone(name, cleanUp).pipe(
          jobs.waiting(`${name}, tried again`),
          FiberMap.run(insisting, name, { onlyIfMissing: true }),
          Effect.asVoid
        )

      const insist = <A, E, R>(name: string, cleanUp: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
        cleanUp.pipe(
          Effect.tapCause((cause) =>
            Cause.hasInterruptsOnly(cause)
              ? Effect.void
              : Effect.andThen(Effect.logWarning(`${name} failed and is tried again`, cause), persevere(name, cleanUp))
          )
        )

      return Releases.of({ release, insist, persevere })
    })
  )
}
