/** Commands as requests to the handlers, and answers in the words of the history. */
import { Effect } from "effect"
import { Encoded } from "../../../src/cri/adapter.ts"
import { handlers } from "../../../src/cri/handlers.ts"
import {
  ContainerConfig,
  ContainerState,
  CreateContainerRequest,
  ExecSyncRequest,
  ImageSpec,
  ListContainersRequest,
  ListContainersResponse,
  ListPodSandboxRequest,
  ListPodSandboxResponse,
  PodSandboxConfig,
  PodSandboxState,
  PullImageRequest,
  RemoveImageRequest,
  RunPodSandboxRequest,
  StopContainerRequest
} from "../../../src/gen/runtime/v1/api.ts"
import type { Command } from "./commands.ts"
import type { SeenContainer, SeenPod } from "./model.ts"

const { runtime, image } = handlers

/** A message with every field at its default. */
const blank = <A>(message: { readonly decode: (bytes: Uint8Array) => A }): A => message.decode(new Uint8Array(0))

const message = <A>(answer: A | Encoded, type: { readonly decode: (bytes: Uint8Array) => A }): A =>
  answer instanceof Encoded ? type.decode(answer.bytes) : answer

export const imageName = "registry.test/library/busybox:1"
const spec = { ...blank(ImageSpec), image: imageName, userSpecifiedImage: imageName }

const podConfig = (slot: number): PodSandboxConfig => ({
  ...blank(PodSandboxConfig),
  metadata: { name: `p${slot}`, namespace: "default", uid: `uid-${slot}`, attempt: 0 },
  hostname: `p${slot}`,
  logDirectory: `/var/log/pods/p${slot}`,
  labels: { slot: `p${slot}` }
})

/** Programs: one that heeds SIGTERM and stays, one that ends by itself. */
const programs = {
  long: ["sh", "-c", "trap 'exit 0' TERM; echo hello; sleep 3600"],
  short: ["sh", "-c", "echo hello; sleep 1"]
}

const containerConfig = (pod: number, slot: number, short: boolean): ContainerConfig => ({
  ...blank(ContainerConfig),
  metadata: { name: `c${slot}`, attempt: 0 },
  image: spec,
  command: [...(short ? programs.short : programs.long)],
  labels: { slot: `p${pod}`, short: String(short) },
  logPath: `c${slot}.log`
})

const states = {
  [ContainerState.CONTAINER_CREATED]: "created",
  [ContainerState.CONTAINER_RUNNING]: "running",
  [ContainerState.CONTAINER_EXITED]: "exited"
} as const

const listPods = Effect.map(runtime.ListPodSandbox(blank(ListPodSandboxRequest)), (answer) => {
  const seen: Record<string, SeenPod> = {}
  for (const pod of message(answer, ListPodSandboxResponse).items) {
    seen[pod.labels["slot"] ?? "?"] = { id: pod.id, ready: pod.state === PodSandboxState.SANDBOX_READY }
  }
  return seen
})

const listContainers = Effect.map(runtime.ListContainers(blank(ListContainersRequest)), (answer) => {
  const seen: Record<string, Record<string, SeenContainer>> = {}
  for (const container of message(answer, ListContainersResponse).containers) {
    const slot = container.labels["slot"] ?? "?"
    const state = states[container.state as keyof typeof states] ?? "exited"
    const of = (seen[slot] ??= {})
    of[container.metadata?.name ?? "?"] = { id: container.id, podId: container.podSandboxId, state }
  }
  return seen
})

/** `podId` and `containerId` are those of the slots that the command names. */
export const request = (command: Command, podId: string, containerId: string) =>
  Effect.suspend((): Effect.Effect<object, unknown, RequestServices> => {
    switch (command.name) {
      case "PullImage":
        return image.PullImage({ ...blank(PullImageRequest), image: spec })
      case "RemoveImage":
        return image.RemoveImage({ ...blank(RemoveImageRequest), image: spec })
      case "RunPodSandbox":
        return runtime.RunPodSandbox({ ...blank(RunPodSandboxRequest), config: podConfig(command.pod) })
      case "StopPodSandbox":
        return runtime.StopPodSandbox({ podSandboxId: podId })
      case "RemovePodSandbox":
        return runtime.RemovePodSandbox({ podSandboxId: podId })
      case "CreateContainer": {
        const config = containerConfig(command.pod, command.container, command.short)
        const sandboxConfig = podConfig(command.pod)
        return runtime.CreateContainer({ ...blank(CreateContainerRequest), podSandboxId: podId, config, sandboxConfig })
      }
      case "StartContainer":
        return runtime.StartContainer({ containerId })
      case "StopContainer":
        return runtime.StopContainer({
          ...blank(StopContainerRequest),
          containerId,
          timeout: BigInt(command.grace)
        })
      case "RemoveContainer":
        return runtime.RemoveContainer({ containerId })
      case "ExecSync":
        return runtime.ExecSync({ ...blank(ExecSyncRequest), containerId, cmd: ["echo", "x"], timeout: 10n })
      case "ListPodSandbox":
        return listPods
      case "ListContainers":
        return listContainers
      case "KillProcess":
        return Effect.succeed({})
    }
  })

type Services<F> = F extends (request: never) => Effect.Effect<unknown, unknown, infer R> ? R : never
export type RequestServices =
  | Services<(typeof runtime)["RunPodSandbox"]>
  | Services<(typeof runtime)["StopPodSandbox"]>
  | Services<(typeof runtime)["RemovePodSandbox"]>
  | Services<(typeof runtime)["CreateContainer"]>
  | Services<(typeof runtime)["StartContainer"]>
  | Services<(typeof runtime)["StopContainer"]>
  | Services<(typeof runtime)["RemoveContainer"]>
  | Services<(typeof runtime)["ExecSync"]>
  | Services<(typeof runtime)["ListPodSandbox"]>
  | Services<(typeof runtime)["ListContainers"]>
  | Services<(typeof image)["PullImage"]>
  | Services<(typeof image)["RemoveImage"]>
