/**
 * Changes the limits of a container, all or none. The record holds the old values of every control file that may change
 * before anything does; they are written back when a step fails, and at the next start when the daemon dies between.
 */
import { createHash } from "node:crypto"
import { Effect, Exit, Struct } from "effect"
import type { CgroupError } from "../cgroup/CgroupError.ts"
import { CgroupLimits } from "../cgroup/CgroupLimits.ts"
import type { LinuxContainerResources } from "../gen/runtime/v1/api.ts"
import type { LinuxError } from "../linux/LinuxError.ts"
import { isGone } from "../linux/LinuxError.ts"
import { HostFacts } from "../oci/HostFacts.ts"
import { OciRuntime } from "../oci/OciRuntime.ts"
import { RuntimeHandlers } from "../oci/RuntimeHandlers.ts"
import { orFail } from "../oci/spec/fault.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { Jobs } from "./Jobs.ts"
import { InvalidRequest, WrongState } from "./PodError.ts"
import { Pods } from "./Pods.ts"
import { Releases } from "./Releases.ts"
import { planUpdate, type ResourceUpdate } from "./resourceUpdate.ts"

const cgroupOf = ({ resources }: ContainerRecord): string =>
  resources.find((row) => row._tag === "Runtime")?.cgroup ?? ""

const settled = (container: ContainerRecord): ContainerRecord => Struct.omit(container, ["resizing"])

/** CRI: while it is created or running; what is being stopped still runs. */
const refuseEnded = ({ id, state }: ContainerRecord) =>
  state._tag === "Created" || state._tag === "Running" || state._tag === "Stopping"
    ? Effect.void
    : new WrongState({ object: `container ${id}`, action: "change the limits of", reason: `it is ${state._tag}` })

/** Below what it uses the kernel would kill its processes (v2) or refuse with half of the change made (v1). */
const refuseBelowUse = Effect.fnUntraced(function* (container: ContainerRecord, requested: LinuxContainerResources) {
  const limit = requested.memoryLimitInBytes
  if (limit <= 0n) return
  const inUse = yield* (yield* CgroupLimits).memoryInUse(cgroupOf(container))
  if (limit >= inUse) return
  return yield* new InvalidRequest({
    field: "linux.memory_limit_in_bytes",
    reason: `${limit} bytes are below the ${inUse} bytes that container ${container.id} uses now`
  })
})

/** ENODEV: the kernel's answer for files of a cgroup that was removed while they were open. */
const hasGone = (error: LinuxError | CgroupError) =>
  error._tag === "LinuxError" && (isGone(error) || error.code === "ENODEV")

/** Writes the old values back; a container that has ended needs none. */
const restore = Effect.fn("restoreLimits")(function* (id: string) {
  const pods = yield* Pods
  const limits = yield* CgroupLimits
  const container = yield* pods.container(id)
  if (container.resizing === undefined) return
  yield* limits.write(cgroupOf(container), container.resizing.files).pipe(Effect.catchIf(hasGone, () => Effect.void))
  yield* pods.amendContainer(id, (now) => Effect.succeed(settled(now)))
})

/** A change of limits that was left half-way is undone, if need be after some attempts. */
export const restoreLimits = Effect.fnUntraced(function* (id: string) {
  const releases = yield* Releases
  const work = restore(id).pipe(Effect.catchTag("ContainerNotFound", () => Effect.void))
  yield* releases.insist(`return to the limits of container ${id}`, work)
})

const apply = Effect.fnUntraced(function* (container: ContainerRecord, update: ResourceUpdate) {
  const runtime = yield* OciRuntime
  const limits = yield* CgroupLimits
  const handler = yield* (yield* RuntimeHandlers).get(container.handler, container.platform)
  if (Object.keys(update.resources).length > 0) yield* runtime.update(handler, container.id, update.resources)
  yield* limits.write(cgroupOf(container), update.files)
})

const updating = Effect.fn("updateContainer")(function* (id: string, requested: LinuxContainerResources) {
  const pods = yield* Pods
  const handlers = yield* RuntimeHandlers
  const facts = yield* HostFacts
  const limits = yield* CgroupLimits
  while (true) {
    // One change at a time: the next one starts from what the one before has come to.
    const before = yield* pods.awaitContainer(id, ({ resizing }) => resizing === undefined)
    yield* refuseEnded(before)
    const handler = yield* handlers.get(before.handler)
    const minimumMemory = handler.options.container_min_memory
    const update = yield* orFail(id, planUpdate({ limits: before.limits, requested, minimumMemory, facts }))
    yield* refuseBelowUse(before, requested)
    const files = yield* limits.read(cgroupOf(before), update.touched)
    // From the announcement to its end nothing but the change itself may be interrupted.
    const done = yield* Effect.uninterruptibleMask((interruptible) =>
      Effect.gen(function* () {
        const begun = yield* pods.amendContainer(id, (now) =>
          now.resizing === undefined && now.limits === before.limits
            ? Effect.as(refuseEnded(now), { ...now, resizing: { files } })
            : Effect.succeed(now)
        )
        if (begun.resizing?.files !== files) return false
        yield* interruptible(apply(begun, update)).pipe(
          Effect.andThen(pods.amendContainer(id, (now) => Effect.succeed({ ...settled(now), limits: update.limits }))),
          // The change's own failure stays the answer.
          Effect.onExit((exit) => (Exit.isSuccess(exit) ? Effect.void : Effect.ignore(restoreLimits(id))))
        )
        return true
      })
    )
    if (done) return
  }
})

/** A client that gives up and asks again meets its own request; other requests wait for their turn. */
export const updateContainer = Effect.fnUntraced(function* (id: string, requested: LinuxContainerResources) {
  const jobs = yield* Jobs
  const text = JSON.stringify(requested, (_, value: unknown) => (typeof value === "bigint" ? `${value}` : value))
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 8)
  yield* jobs.attach(`UpdateContainerResources ${id} ${digest}`, updating(id, requested))
})
