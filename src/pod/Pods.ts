/**
 * The pods and containers there are. Every change goes through the pod's lane, one at a time and for milliseconds:
 * decide by the transition table, write the record, publish the new snapshot, wake whoever waits for it, tell those who
 * listen. Reads take the snapshot and do no I/O.
 */
import { Context, Deferred, Effect, Layer, Result } from "effect"
import * as Container from "./ContainerState.ts"
import type { ContainerRecord } from "./ContainerRecord.ts"
import { type EventKind, Events } from "./Events.ts"
import { makeLanes } from "./lanes.ts"
import { containerEvents, podEvents } from "./lifeEvents.ts"
import { ContainerNotFound, NameReserved, PodNotFound, type RecordError, WrongState } from "./PodError.ts"
import type { PodRecord } from "./PodRecord.ts"
import * as Pod from "./PodState.ts"
import { Records } from "./Records.ts"
import { type Resource, sameResource } from "./Resource.ts"

/** Immutable; what is still starting or being created is in it too: `listed` leaves that out. */
export interface Snapshot {
  readonly pods: ReadonlyMap<string, PodRecord>
  readonly containers: ReadonlyMap<string, ContainerRecord>
}

/** For "cannot … it: it is Stopping". */
const verbs: Record<Pod.PodEvent["_tag"] | Container.ContainerEvent["_tag"], string> = {
  NetworkUp: "make ready",
  StartFailed: "record the failed start of",
  StopRequested: "stop",
  Stopped: "record the stop of",
  Lost: "record the loss of",
  Created: "record the creation of",
  CreateFailed: "record the failed creation of",
  Started: "start",
  Exited: "record the exit of"
}

/**
 * Ends are true whether or not they can be written: a full disk must not keep what fills it from being stopped. After a
 * restart they are found again, by exit records and by clients that ask again.
 */
const ends: ReadonlySet<string> = new Set<Pod.PodEvent["_tag"] | Container.ContainerEvent["_tag"]>([
  "StartFailed",
  "CreateFailed",
  "StopRequested",
  "Stopped",
  "Lost",
  "Exited"
])

const evenUnwritten = (what: string, save: Effect.Effect<void, RecordError>): Effect.Effect<void> =>
  Effect.catch(save, ({ message }) => Effect.logError(`${what} holds although it is not written: ${message}`))

const writing = (
  { _tag }: Pod.PodEvent | Container.ContainerEvent,
  save: Effect.Effect<void, RecordError>
): Effect.Effect<void, RecordError> => (ends.has(_tag) ? evenUnwritten(_tag, save) : save)

/** True for what List* and Status may show. */
export const listed = (record: PodRecord | ContainerRecord): boolean =>
  record.state._tag !== "Starting" && record.state._tag !== "Creating"

export const containersOf = (snapshot: Snapshot, podId: string): ReadonlyArray<ContainerRecord> =>
  Array.from(snapshot.containers.values()).filter((container) => container.podId === podId)

export class Pods extends Context.Service<
  Pods,
  {
    readonly snapshot: Effect.Effect<Snapshot>
    readonly pod: (id: string) => Effect.Effect<PodRecord, PodNotFound>
    readonly container: (id: string) => Effect.Effect<ContainerRecord, ContainerNotFound>
    /** Writes the first record of a pod, with a row for all it is going to take. */
    readonly begin: (pod: PodRecord) => Effect.Effect<void, NameReserved | RecordError>
    /** The same for a container; refused unless its pod is Ready. */
    readonly beginContainer: (
      container: ContainerRecord
    ) => Effect.Effect<void, NameReserved | PodNotFound | WrongState | RecordError>
    /** Applies an event, with what else the record learns by it. */
    readonly move: (
      id: string,
      event: Pod.PodEvent,
      learned?: Partial<PodRecord>
    ) => Effect.Effect<PodRecord, PodNotFound | WrongState | RecordError>
    readonly moveContainer: (
      id: string,
      event: Container.ContainerEvent,
      learned?: Partial<ContainerRecord>
    ) => Effect.Effect<ContainerRecord, ContainerNotFound | WrongState | RecordError>
    /** Changes what a record knows and no state; the same record leaves it as it is. Decides on the newest one. */
    readonly amend: (
      id: string,
      change: (pod: PodRecord) => PodRecord
    ) => Effect.Effect<PodRecord, PodNotFound | RecordError>
    readonly amendContainer: <E = never>(
      id: string,
      change: (container: ContainerRecord) => Effect.Effect<ContainerRecord, E>
    ) => Effect.Effect<ContainerRecord, E | ContainerNotFound | RecordError>
    /** Takes rows out of the owner's record (pod or container) after their release. Unknown owner: nothing to do. */
    readonly released: (ownerId: string, rows: ReadonlyArray<Resource>) => Effect.Effect<void>
    /** The end of a record that holds nothing any more; frees the name. */
    readonly forget: (ownerId: string) => Effect.Effect<void, RecordError>
    /** Waits until the pod satisfies the predicate; fails when it goes. */
    readonly awaitPod: (id: string, predicate: (pod: PodRecord) => boolean) => Effect.Effect<PodRecord, PodNotFound>
    /** The same for a container. */
    readonly awaitContainer: (
      id: string,
      predicate: (container: ContainerRecord) => boolean
    ) => Effect.Effect<ContainerRecord, ContainerNotFound>
    /** At start: takes over what the records on disk say; recovery then corrects it by events. */
    readonly adopt: (pods: ReadonlyArray<PodRecord>, containers: ReadonlyArray<ContainerRecord>) => Effect.Effect<void>
  }
>()("cricket/pod/Pods") {
  /** With the events that its lanes publish. */
  static readonly layer = Layer.effect(
    Pods,
    Effect.gen(function* () {
      const records = yield* Records
      const events = yield* Events
      let current: Snapshot = { pods: new Map(), containers: new Map() }
      const changed = new Map<string, Deferred.Deferred<void>>()

      const publishPod = (pod: PodRecord) => {
        current = { ...current, pods: new Map(current.pods).set(pod.id, pod) }
        wake(pod.id)
      }
      const publishContainer = (container: ContainerRecord) => {
        current = { ...current, containers: new Map(current.containers).set(container.id, container) }
        wake(container.id)
      }
      const wake = (id: string) => {
        const waiters = changed.get(id)
        changed.delete(id)
        if (waiters !== undefined) Deferred.doneUnsafe(waiters, Effect.void)
      }

      /** The pod as the snapshot has it now. */
      const tell = (kind: EventKind, id: string, podId: string) =>
        events.publish(kind, id, () => {
          const pod = current.pods.get(podId)
          return pod === undefined ? undefined : { pod, containers: containersOf(current, podId).filter(listed) }
        })
      const tellAll = (kinds: ReadonlyArray<EventKind>, id: string, podId: string) =>
        Effect.forEach(kinds, (kind) => tell(kind, id, podId), { discard: true })

      /** By the pod's id: one change of it and its containers at a time. */
      const { inLane } = makeLanes()

      const pod = (id: string) =>
        Effect.suspend(() => {
          const found = current.pods.get(id)
          return found === undefined ? Effect.fail(new PodNotFound({ id })) : Effect.succeed(found)
        })
      const container = (id: string) =>
        Effect.suspend(() => {
          const found = current.containers.get(id)
          return found === undefined ? Effect.fail(new ContainerNotFound({ id })) : Effect.succeed(found)
        })

      const refuseTakenName = (record: PodRecord | ContainerRecord, others: Iterable<PodRecord | ContainerRecord>) => {
        for (const other of others) {
          if (other.name !== record.name) continue
          const reason = `it is ${other.state._tag}; remove it first`
          return Effect.fail(new NameReserved({ name: record.name, holder: other.id, reason }))
        }
        return Effect.void
      }

      const begin = Effect.fn("Pods.begin")(function* (record: PodRecord) {
        yield* inLane(record.id)(
          Effect.gen(function* () {
            yield* refuseTakenName(record, current.pods.values())
            yield* Effect.onError(records.beginPod(record), () => Effect.ignore(records.dropPod(record.id)))
            publishPod(record)
          })
        )
      })

      const beginContainer = Effect.fn("Pods.beginContainer")(function* (record: ContainerRecord) {
        yield* inLane(record.podId)(
          Effect.gen(function* () {
            const owner = yield* pod(record.podId)
            if (owner.state._tag !== "Ready") {
              const object = `container ${record.metadata.name} in pod sandbox ${owner.id}`
              return yield* new WrongState({ object, action: "create", reason: `the pod is ${owner.state._tag}` })
            }
            yield* refuseTakenName(record, current.containers.values())
            yield* Effect.onError(records.beginContainer(record), () => Effect.ignore(records.dropContainer(record.id)))
            publishContainer(record)
          })
        )
      })

      const move = Effect.fn("Pods.move")(function* (id: string, event: Pod.PodEvent, learned?: Partial<PodRecord>) {
        return yield* inLane(id)(
          Effect.gen(function* () {
            const before = yield* pod(id)
            const next = Pod.transition(before.state, event)
            if (Result.isFailure(next)) {
              return yield* new WrongState({
                object: `pod sandbox ${id}`,
                action: verbs[event._tag],
                reason: next.failure
              })
            }
            if (next.success === before.state && learned === undefined) return before
            const after: PodRecord = { ...before, ...learned, state: next.success }
            yield* writing(event, records.savePod(after))
            publishPod(after)
            yield* tellAll(podEvents(before.state, after.state), id, id)
            return after
          })
        )
      })

      const moveContainer = Effect.fn("Pods.moveContainer")(function* (
        id: string,
        event: Container.ContainerEvent,
        learned?: Partial<ContainerRecord>
      ) {
        const { podId } = yield* container(id)
        return yield* inLane(podId)(
          Effect.gen(function* () {
            const before = yield* container(id)
            const next = Container.transition(before.state, event)
            if (Result.isFailure(next)) {
              return yield* new WrongState({
                object: `container ${id}`,
                action: verbs[event._tag],
                reason: next.failure
              })
            }
            if (next.success === before.state && learned === undefined) return before
            const after: ContainerRecord = { ...before, ...learned, state: next.success }
            yield* writing(event, records.saveContainer(after))
            publishContainer(after)
            yield* tellAll(containerEvents(before.state, after.state), id, podId)
            return after
          })
        )
      })

      const amend = Effect.fn("Pods.amend")(function* (id: string, change: (pod: PodRecord) => PodRecord) {
        return yield* inLane(id)(
          Effect.gen(function* () {
            const before = yield* pod(id)
            const after = change(before)
            if (after === before) return before
            yield* records.savePod(after)
            publishPod(after)
            return after
          })
        )
      })

      const amendContainer = Effect.fn("Pods.amendContainer")(function* <E>(
        id: string,
        change: (container: ContainerRecord) => Effect.Effect<ContainerRecord, E>
      ) {
        const { podId } = yield* container(id)
        return yield* inLane(podId)(
          Effect.gen(function* () {
            const before = yield* container(id)
            const after = yield* change(before)
            if (after === before) return before
            yield* records.saveContainer(after)
            publishContainer(after)
            return after
          })
        )
      })

      const without = (rows: ReadonlyArray<Resource>, gone: ReadonlyArray<Resource>) =>
        rows.filter((row) => !gone.some((other) => sameResource(row, other)))

      const released = Effect.fn("Pods.released")(function* (ownerId: string, rows: ReadonlyArray<Resource>) {
        const podId = current.containers.get(ownerId)?.podId ?? ownerId
        yield* inLane(podId)(
          Effect.suspend(() => {
            // Rows that stay on the disk are given back once more after a restart, which changes nothing.
            const what = `the release of what ${ownerId} held`
            const owningPod = current.pods.get(ownerId)
            if (owningPod !== undefined) {
              const after = { ...owningPod, resources: without(owningPod.resources, rows) }
              return Effect.map(evenUnwritten(what, records.savePod(after)), () => publishPod(after))
            }
            const owner = current.containers.get(ownerId)
            if (owner === undefined) return Effect.void
            const after = { ...owner, resources: without(owner.resources, rows) }
            return Effect.map(evenUnwritten(what, records.saveContainer(after)), () => publishContainer(after))
          })
        )
      })

      const forget = Effect.fn("Pods.forget")(function* (ownerId: string) {
        const podId = current.containers.get(ownerId)?.podId ?? ownerId
        yield* inLane(podId)(
          Effect.gen(function* () {
            const owner = current.containers.get(ownerId)
            const owningPod = current.pods.get(ownerId)
            if (owner !== undefined) {
              yield* records.dropContainer(ownerId)
              const containers = new Map(current.containers)
              containers.delete(ownerId)
              current = { ...current, containers }
              wake(ownerId)
              if (listed(owner)) yield* tell("Deleted", ownerId, podId)
            } else if (owningPod !== undefined) {
              yield* records.dropPod(ownerId)
              const pods = new Map(current.pods)
              pods.delete(ownerId)
              current = { ...current, pods }
              wake(ownerId)
              if (listed(owningPod)) {
                yield* events.publish("Deleted", ownerId, () => ({ pod: owningPod, containers: [] }))
              }
            }
          })
        )
      })

      const awaiting =
        <A, E>(look: (id: string) => A | undefined, missing: (id: string) => E) =>
        (id: string, predicate: (found: A) => boolean): Effect.Effect<A, E> => {
          // The look and the place among the waiters are one step: a change between them would wake nobody.
          const lookOrWait = Effect.suspend(() => {
            const now = look(id)
            if (now === undefined) return Effect.fail(missing(id))
            if (predicate(now)) return Effect.succeed(now)
            const next = changed.get(id) ?? Deferred.makeUnsafe<void>()
            changed.set(id, next)
            return Effect.as(Deferred.await(next), undefined)
          })
          return Effect.gen(function* () {
            while (true) {
              const found = yield* lookOrWait
              if (found !== undefined) return found
            }
          })
        }

      const adopt = (pods: ReadonlyArray<PodRecord>, containers: ReadonlyArray<ContainerRecord>) =>
        Effect.sync(() => {
          current = {
            pods: new Map(pods.map((pod) => [pod.id, pod])),
            containers: new Map(containers.map((container) => [container.id, container]))
          }
        })

      return Pods.of({
        snapshot: Effect.sync(() => current),
        pod,
        container,
        begin,
        beginContainer,
        move,
        moveContainer,
        amend,
        amendContainer,
        released,
        forget,
        awaitPod: awaiting(
          (id) => current.pods.get(id),
          (id) => new PodNotFound({ id })
        ),
        awaitContainer: awaiting(
          (id) => current.containers.get(id),
          (id) => new ContainerNotFound({ id })
        ),
        adopt
      })
    })
  ).pipe(Layer.provideMerge(Events.layer))
}
