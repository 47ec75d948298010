/**
 * What happens to pods and containers, for those who listen (CRI GetContainerEvents). A pod's lane publishes here and
 * never waits: each listener has a queue of its own, and one that reads too slowly loses the oldest of what it has not
 * read. Nobody listens: nothing is made.
 */
import { type Cause, Clock, Context, Effect, Layer, Metric, Queue, Stream } from "effect"
import type { ContainerRecord } from "./ContainerRecord.ts"
import type { PodRecord } from "./PodRecord.ts"

export type EventKind = "Created" | "Started" | "Stopped" | "Deleted"

/** A pod with its containers as it is after the event, or was before its own deletion. */
export interface Seen {
  readonly pod: PodRecord
  readonly containers: ReadonlyArray<ContainerRecord>
}

export interface LifeEvent extends Seen {
  readonly kind: EventKind
  /** Of a container, or of the pod sandbox itself. */
  readonly id: string
  /** Nanoseconds since the epoch. */
  readonly atNs: bigint
}

/** Events that wait for one listener, as many as CRI-O keeps. */
export const queueCapacity = 1000

/**
 * So long after its start the daemon tells those who come what it has found changed while there was no daemon: clients
 * connect again within seconds.
 */
const retold = { nanoseconds: 60_000_000_000n }

const dropped = Metric.counter("container_runtime_crio_containers_events_dropped_total", {
  description: "Container events that clients have missed because they read too slowly",
  incremental: true
})

interface Listener {
  readonly queue: Queue.Queue<LifeEvent, Cause.Done>
  /** Events lost since it last had read all there was. */
  missed: number
}

export class Events extends Context.Service<
  Events,
  {
    /** `see` is asked only when somebody listens. Without a pod (its record was damaged) there is no event. */
    readonly publish: (kind: EventKind, id: string, see: () => Seen | undefined) => Effect.Effect<void>
    /** From the subscription on, in the order of publication; ends with the daemon. */
    readonly listen: Stream.Stream<LifeEvent>
    /** Recovery is over: what was published until now is what had changed without a daemon. */
    readonly recovered: Effect.Effect<void>
    /** Ends every listener's stream, so that the daemon's end does not wait for them. */
    readonly end: Effect.Effect<void>
  }
>()("cricket/pod/Events") {
  static readonly layer = Layer.effect(
    Events,
    Effect.sync(() => {
      const listeners = new Set<Listener>()
      const found: Array<LifeEvent> = []
      let recovering = true
      let retoldUntilNs = 0n
      let ended = false

      const deliver = (listener: Listener, event: LifeEvent): boolean => {
        const full = Queue.isFullUnsafe(listener.queue)
        if (full) listener.missed += 1
        Queue.offerUnsafe(listener.queue, event)
        return full
      }

      const publish = Effect.fnUntraced(function* (kind: EventKind, id: string, see: () => Seen | undefined) {
        if (listeners.size === 0 && !recovering) return
        const seen = see()
        if (seen === undefined) return
        const event: LifeEvent = { kind, id, atNs: yield* Clock.currentTimeNanos, ...seen }
        if (recovering && found.length < queueCapacity) found.push(event)
        const slow = Array.from(listeners).filter((listener) => deliver(listener, event))
        if (slow.length === 0) return
        yield* Metric.update(dropped, slow.length)
        if (slow.some(({ missed }) => missed === 1)) {
          yield* Effect.logWarning(
            `a client of GetContainerEvents has not read ${queueCapacity} events: it misses the oldest from now on`
          )
        }
      })

      const tellMissed = (listener: Listener) =>
        Effect.suspend(() => {
          const { missed } = listener
          listener.missed = 0
          return missed === 0
            ? Effect.void
            : Effect.logWarning(`a client of GetContainerEvents has missed ${missed} events`)
        })

      const open = Effect.gen(function* () {
        const queue = yield* Queue.sliding<LifeEvent, Cause.Done>(queueCapacity)
        const listener: Listener = { queue, missed: 0 }
        const nowNs = yield* Clock.currentTimeNanos
        if (recovering || nowNs < retoldUntilNs) for (const event of found) Queue.offerUnsafe(queue, event)
        else found.length = 0
        listeners.add(listener)
        if (ended) Queue.endUnsafe(queue)
        return listener
      })

      const close = (listener: Listener) =>
        Effect.suspend(() => {
          listeners.delete(listener)
          Queue.shutdownUnsafe(listener.queue)
          return tellMissed(listener)
        })

      const listen = Stream.unwrap(
        Effect.map(Effect.acquireRelease(open, close), (listener) =>
          // One by one: what a client has not taken is in the queue and nowhere else.
          Stream.fromPull(
            Effect.succeed(
              Effect.suspend(() =>
                Queue.sizeUnsafe(listener.queue) === 0
                  ? Effect.andThen(tellMissed(listener), Queue.take(listener.queue))
                  : Queue.take(listener.queue)
              ).pipe(Effect.map((event) => [event] as const))
            )
          )
        )
      )

      return Events.of({
        publish,
        listen,
        recovered: Effect.map(Clock.currentTimeNanos, (nowNs) => {
          recovering = false
          retoldUntilNs = nowNs + retold.nanoseconds
        }),
        end: Effect.sync(() => {
          ended = true
          for (const { queue } of listeners) Queue.endUnsafe(queue)
        })
      })
    })
  )
}
