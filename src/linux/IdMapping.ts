/** Ids of a user namespace and what they are outside of it (user_namespaces(7)). No effects. */
import { Schema } from "effect"

/** `length` ids from `containerId` on are those from `hostId` on outside. */
export const IdMapping = Schema.Struct({ containerId: Schema.Int, hostId: Schema.Int, length: Schema.Int })
export type IdMapping = typeof IdMapping.Type

/** What a user namespace maps; the kernel takes at most 340 ranges of each kind. */
export const IdMappings = Schema.Struct({ uids: Schema.Array(IdMapping), gids: Schema.Array(IdMapping) })
export type IdMappings = typeof IdMappings.Type

/** A user namespace that is pinned. */
export interface UserNamespace {
  /** Of the pin. */
  readonly path: string
  readonly ids: IdMappings
}

/** (uid_t)-1 is no id. */
const idCount = 0xffffffff

/** A range that the kernel takes: at least one id, none beyond the last. */
export const isRange = ({ containerId, hostId, length }: IdMapping): boolean =>
  length > 0 && [containerId, hostId].every((first) => first >= 0 && first + length <= idCount)

/** Lines of /proc/PID/uid_map and gid_map. */
export const mapText = (mappings: ReadonlyArray<IdMapping>): string =>
  mappings.map(({ containerId, hostId, length }) => `${containerId} ${hostId} ${length}\n`).join("")

/** What an id of the namespace is outside; undefined for one that is not mapped. */
export const toHost = (mappings: ReadonlyArray<IdMapping>, id: number): number | undefined => {
  const found = mappings.find(({ containerId, length }) => id >= containerId && id < containerId + length)
  return found === undefined ? undefined : found.hostId + (id - found.containerId)
}

/** The same ranges in the same order. */
export const sameMappings = (left: ReadonlyArray<IdMapping>, right: ReadonlyArray<IdMapping>): boolean =>
  mapText(left) === mapText(right)
