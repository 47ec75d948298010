/** What the runtime tells plugins about a pod beside the configuration: CNI_ARGS and capability arguments. */
import { Result } from "effect"
import type { Attachment } from "../Attachment.ts"
import { bandwidthOf } from "./bandwidth.ts"
import type { Json } from "./configuration.ts"

export interface RuntimeArguments {
  /** Pairs of CNI_ARGS, in order. */
  readonly cniArgs: ReadonlyArray<readonly [string, string]>
  /** By capability; each plugin receives those that it declares, as "runtimeConfig". */
  readonly capabilityArgs: Json
}

/** The pairs that network plugins for Kubernetes read, spelled and ordered as CRI-O's. */
const cniArgsOf = (attachment: Attachment): RuntimeArguments["cniArgs"] => [
  ["IgnoreUnknown", "1"],
  ["K8S_POD_NAMESPACE", attachment.podNamespace],
  ["K8S_POD_NAME", attachment.podName],
  ["K8S_POD_INFRA_CONTAINER_ID", attachment.podId],
  ["K8S_POD_UID", attachment.podUid]
]

/** Capabilities by the names of CNI's conventions; one that has nothing to say is absent. */
const capabilityArgsOf = (attachment: Attachment): Result.Result<Json, string> =>
  Result.map(bandwidthOf(attachment.annotations), (bandwidth) => {
    const published = attachment.portMappings.filter((mapping) => mapping.hostPort > 0)
    return {
      ...(published.length > 0 && {
        portMappings: published.map(({ hostPort, containerPort, protocol, hostIp }) => ({
          hostPort,
          containerPort,
          protocol,
          ...(hostIp !== "" && { hostIP: hostIp })
        }))
      }),
      ...(bandwidth !== undefined && { bandwidth }),
      ...(attachment.ipRanges !== undefined && { ipRanges: attachment.ipRanges }),
      ...(attachment.dns !== undefined && { dns: attachment.dns }),
      ...(Object.keys(attachment.annotations).length > 0 && {
        "io.kubernetes.cri.pod-annotations": attachment.annotations
      })
    }
  })

// CNI_ARGS has no escaping: a ";" or "=" in a value would smuggle in a pair of the sender's choice.
const isClean = (value: string): boolean => !/[;=\0]/.test(value)

/** The failure is a sentence about the pod's request. */
export const runtimeArgumentsOf = (attachment: Attachment): Result.Result<RuntimeArguments, string> =>
  Result.gen(function* () {
    const cniArgs = cniArgsOf(attachment)
    for (const [key, value] of cniArgs) {
      if (!isClean(value)) return yield* Result.fail(`${key} ${JSON.stringify(value)} contains ";" or "="`)
    }
    return { cniArgs, capabilityArgs: yield* capabilityArgsOf(attachment) }
  })

const containerId = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/

/** The rules of the specification's parameters CNI_CONTAINERID and CNI_IFNAME: both become parts of file names. */
export const identityProblem = (attachment: Attachment): string | undefined => {
  if (!containerId.test(attachment.podId)) return `pod id ${JSON.stringify(attachment.podId)} is not a container id`
  const name = attachment.interfaceName
  return name === "" || name === "." || name === ".." || name.length > 15 || /[/:\s]/.test(name)
    ? `${JSON.stringify(name)} is not an interface name`
    : undefined
}
