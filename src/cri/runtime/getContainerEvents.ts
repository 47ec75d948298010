/**
 * RuntimeService.GetContainerEvents: one stream per client, which ends with the client or the daemon only: kubelet gives
 * its events up after five ends. Events are of containers and of pod sandboxes, whose id stands for their container's.
 * enable_pod_events is off by default, as with CRI-O: then Unimplemented, from which kubelet falls back to its lists.
 */
import { Buffer } from "node:buffer"
import { Effect, Stream } from "effect"
import { Settings } from "../../config/Settings.ts"
import { ContainerEventResponse, ContainerEventType, type GetEventsRequest } from "../../gen/runtime/v1/api.ts"
import { type EventKind, Events, type LifeEvent } from "../../pod/Events.ts"
import { Encoded } from "../adapter.ts"
import { EventsDisabled } from "../CriError.ts"
import { toContainerStatus } from "./containerWire.ts"
import { toPodSandboxStatus } from "./podWire.ts"

const types: Record<EventKind, ContainerEventType> = {
  Created: ContainerEventType.CONTAINER_CREATED_EVENT,
  Started: ContainerEventType.CONTAINER_STARTED_EVENT,
  Stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  Deleted: ContainerEventType.CONTAINER_DELETED_EVENT
}

const toResponse = ({ kind, id, atNs, pod, containers }: LifeEvent): ContainerEventResponse => ({
  containerId: id,
  containerEventType: types[kind],
  createdAt: atNs,
  podSandboxStatus: toPodSandboxStatus(pod),
  containersStatuses: containers.map(toContainerStatus)
})

/** Encoded when the first client takes it; the others get the same bytes. */
const encodedEvents = new WeakMap<LifeEvent, Encoded>()

const encode = (event: LifeEvent): Encoded => {
  const known = encodedEvents.get(event)
  if (known !== undefined) return known
  const encoded = new Encoded(Buffer.from(ContainerEventResponse.encode(toResponse(event)).finish()))
  encodedEvents.set(event, encoded)
  return encoded
}

const events = Stream.unwrap(
  Effect.gen(function* () {
    const { runtime } = yield* Settings
    if (!runtime.enable_pod_events) return yield* new EventsDisabled()
    return Stream.map((yield* Events).listen, encode)
  })
)

export const getContainerEvents: (request: GetEventsRequest) => typeof events = () => events
