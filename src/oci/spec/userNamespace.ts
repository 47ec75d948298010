/** User namespaces of pods (CRI UserNamespace) and what follows from them for a container (config-linux.md). */
import { Result } from "effect"
import {
  NamespaceMode,
  type NamespaceOption,
  type UserNamespace as CriUserNamespace
} from "../../gen/runtime/v1/api.ts"
import {
  type IdMapping,
  type IdMappings,
  isRange,
  sameMappings,
  toHost,
  type UserNamespace
} from "../../linux/IdMapping.ts"
import type { IdMap } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"
import type { ContainerUser } from "./user.ts"

const options = "linux.security_context.namespace_options"
const field = `${options}.userns_options`

/** The one range of ids that CRI's UserNamespace may name: it begins with the container's root. */
const soleRange = (field: string, mappings: ReadonlyArray<IdMapping>): Result.Result<IdMapping, Fault> => {
  const [range] = mappings
  if (range === undefined || mappings.length > 1) {
    return invalid(field, `must be one mapping, not ${mappings.length}`)
  }
  const { containerId, hostId, length } = range
  if (containerId !== 0) {
    return invalid(field, `must begin at container_id 0, not ${containerId}: the container's root has to be mapped`)
  }
  return isRange(range)
    ? Result.succeed({ containerId, hostId, length })
    : invalid(field, `host_id ${hostId} and length ${length} are no range of ids`)
}

/** The ids of the user namespace that a pod asks for, undefined for the host's. */
export const requestedUserNamespace = (
  requested: CriUserNamespace | undefined
): Result.Result<IdMappings | undefined, Fault> =>
  Result.gen(function* () {
    if (requested === undefined || requested.mode === NamespaceMode.NODE) return undefined
    if (requested.mode !== NamespaceMode.POD) return yield* invalid(`${field}.mode`, "must be POD or NODE")
    const uids = [yield* soleRange(`${field}.uids`, requested.uids)]
    const gids = [yield* soleRange(`${field}.gids`, requested.gids)]
    return sameMappings(uids, gids) ? { uids, gids } : yield* invalid(field, "must map uids and gids alike")
  })

/** The node's processes and queues belong to a user namespace above: their file systems cannot be mounted below it. */
export const checkNodeNamespaces = (requested: NamespaceOption | undefined): Result.Result<undefined, Fault> => {
  const shared = (["pid", "ipc"] as const).find((kind) => requested?.[kind] === NamespaceMode.NODE)
  return shared === undefined
    ? Result.succeed(undefined)
    : invalid(`${options}.${shared}`, "is NODE, which goes with no user namespace but the node's own")
}

const sameNamespace = (asked: IdMappings | undefined, pod: IdMappings | undefined): boolean =>
  asked === undefined || pod === undefined
    ? asked === pod
    : sameMappings(asked.uids, pod.uids) && sameMappings(asked.gids, pod.gids)

/** A container has its pod's user namespace, whatever it says or leaves unsaid. */
export const checkUserNamespace = (
  requested: NamespaceOption | undefined,
  pod: UserNamespace | undefined
): Result.Result<undefined, Fault> =>
  Result.gen(function* () {
    if (requested?.usernsOptions !== undefined) {
      const asked = yield* requestedUserNamespace(requested.usernsOptions)
      if (!sameNamespace(asked, pod?.ids)) return yield* invalid(field, "is not the pod sandbox's")
    }
    return pod === undefined ? undefined : yield* checkNodeNamespaces(requested)
  })

/** Who is not mapped cannot run anything there. */
export const checkUserMapped = (
  { uid, gid, additionalGids }: ContainerUser,
  namespace: UserNamespace | undefined
): Result.Result<undefined, Fault> => {
  if (namespace === undefined) return Result.succeed(undefined)
  const isMissing = (mappings: ReadonlyArray<IdMapping>) => (id: number) => toHost(mappings, id) === undefined
  const uids = [uid].filter(isMissing(namespace.ids.uids)).map((id) => `uid ${id}`)
  const gids = [...new Set([gid, ...additionalGids])].filter(isMissing(namespace.ids.gids)).map((id) => `gid ${id}`)
  const missing = [...uids, ...gids]
  return missing.length === 0
    ? Result.succeed(undefined)
    : invalid("linux.security_context", `the pod's user namespace does not map ${missing.join(", ")}`)
}

export const idMaps = (mappings: ReadonlyArray<IdMapping>): ReadonlyArray<IdMap> =>
  mappings.map(({ containerId, hostId, length }) => ({ containerID: containerId, hostID: hostId, size: length }))

/** Runtimes want the mappings of a namespace that they only join as well: they make files for its ids. */
export const userMappings = (namespace: UserNamespace | undefined) =>
  namespace === undefined ? {} : { uidMappings: idMaps(namespace.ids.uids), gidMappings: idMaps(namespace.ids.gids) }
