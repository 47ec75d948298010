/** A pod's record in the CRI's words. */
import {
  NamespaceMode,
  PodSandboxState,
  type PodSandbox,
  type PodSandboxFilter,
  type PodSandboxStatus,
  type UserNamespace
} from "../../gen/runtime/v1/api.ts"
import type { PodRecord } from "../../pod/PodRecord.ts"

const modes: Record<PodRecord["namespaces"]["network"], NamespaceMode> = {
  pod: NamespaceMode.POD,
  container: NamespaceMode.CONTAINER,
  node: NamespaceMode.NODE,
  target: NamespaceMode.TARGET
}

const stateOf = (pod: PodRecord): PodSandboxState =>
  pod.state._tag === "Ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY

const usernsOptionsOf = ({ namespaces: { user } }: PodRecord): UserNamespace =>
  user === null
    ? { mode: NamespaceMode.NODE, uids: [], gids: [] }
    : { mode: NamespaceMode.POD, uids: [...user.uids], gids: [...user.gids] }

export const toPodSandbox = (pod: PodRecord): PodSandbox => ({
  id: pod.id,
  metadata: pod.metadata,
  state: stateOf(pod),
  createdAt: pod.createdAtNs,
  labels: pod.labels,
  annotations: pod.annotations,
  runtimeHandler: pod.runtimeHandler
})

export const toPodSandboxStatus = (pod: PodRecord): PodSandboxStatus => ({
  ...toPodSandbox(pod),
  // A pod that is not ready has given its addresses back.
  network:
    pod.state._tag === "Ready"
      ? { ip: pod.ips[0] ?? "", additionalIps: pod.ips.slice(1).map((ip) => ({ ip })) }
      : { ip: "", additionalIps: [] },
  linux: {
    namespaces: {
      // kubelet makes a new pod when the network mode it reads here differs from the one it wants.
      options: {
        network: modes[pod.namespaces.network],
        pid: modes[pod.namespaces.pid],
        ipc: modes[pod.namespaces.ipc],
        targetId: "",
        usernsOptions: usernsOptionsOf(pod)
      }
    }
  }
})

/** Every pair of a selector, exactly (CRI filters). */
export const hasLabels = (labels: Readonly<Record<string, string>>, selector: Readonly<Record<string, string>>) =>
  Object.entries(selector).every(([key, value]) => labels[key] === value)

/** All given fields must hold; an id may be the beginning of one. */
export const podMatches = (pod: PodRecord, filter: PodSandboxFilter | undefined): boolean =>
  filter === undefined ||
  (pod.id.startsWith(filter.id) &&
    (filter.state === undefined || filter.state.state === stateOf(pod)) &&
    hasLabels(pod.labels, filter.labelSelector))
