/** Devices of the host that a container gets: asked for by kubelet or the configuration, or all of them. */
import { Effect, Result } from "effect"
import { posix } from "node:path"
import type { Device as CriDevice } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import { isGone, type LinuxError } from "../../linux/LinuxError.ts"
import type { Device, DeviceRule, Mount } from "../../model/RuntimeSpec.ts"
import { SpecHostError } from "../OciError.ts"
import {
  annotatedDevice,
  configuredDevice,
  criDevice,
  deviceNode,
  type DeviceRequest,
  deviceRule,
  distinctDevices,
  isOwnToContainers
} from "../spec/devices.ts"
import { invalid, orFail } from "../spec/fault.ts"
import { bind } from "../spec/mounts.ts"

export interface DeviceInput {
  readonly containerId: string
  readonly requested: ReadonlyArray<CriDevice>
  /** additional_devices of the configuration. */
  readonly additional: ReadonlyArray<string>
  /** Of the pod's annotation. */
  readonly annotated: ReadonlyArray<string>
  /** allowed_devices of the configuration: what annotations may name. */
  readonly allowed: ReadonlyArray<string>
  /** Privileged: every device of the host. */
  readonly allOfHost: boolean
  /** Set when devices belong to the container's user (device_ownership_from_security_context). */
  readonly owner: { readonly uid: number; readonly gid: number } | undefined
  /** The container has a user namespace, in which nobody can make devices. */
  readonly inUserNamespace: boolean
}

export interface ContainerDevices {
  readonly devices: ReadonlyArray<Device>
  readonly rules: ReadonlyArray<DeviceRule>
  /** Devices that are the host's own files. */
  readonly mounts: ReadonlyArray<Mount>
}

interface FoundDevice extends Pick<Device, "path"> {
  readonly device: Device
  readonly hostPath: string
}

/** Directories below /dev are few and shallow (/dev/disk/by-path); a deeper one is not a directory of devices. */
const deepest = 5

/** Devices at or below a path, with their places below `containerPath`. Links inside directories are not followed. */
const collect: (
  hostPath: string,
  containerPath: string,
  depth: number
) => Effect.Effect<ReadonlyArray<FoundDevice>, LinuxError, Files> = Effect.fnUntraced(
  function* (hostPath, containerPath, depth) {
    const files = yield* Files
    const stat = yield* files.lstat(hostPath)
    if (stat.kind !== "directory") {
      const device = deviceNode(containerPath, stat)
      return device === undefined ? [] : [{ path: containerPath, device, hostPath }]
    }
    if (depth >= deepest) return []
    const names = (yield* files.readDirectory(hostPath)).filter(
      (name) => hostPath !== "/dev" || !isOwnToContainers(name)
    )
    const below = yield* Effect.forEach(names, (name) =>
      collect(posix.join(hostPath, name), posix.join(containerPath, name), depth + 1).pipe(
        // Hot-plugged devices come and go while we look.
        Effect.catchIf(isGone, () => Effect.succeed([]))
      )
    )
    return below.flat()
  }
)

const resolveRequest = Effect.fnUntraced(function* (containerId: string, request: DeviceRequest) {
  const files = yield* Files
  const fail = (cause: unknown) => new SpecHostError({ containerId, field: "devices", path: request.hostPath, cause })
  const real = yield* Effect.mapError(files.realPath(request.hostPath), fail)
  const devices = yield* Effect.mapError(collect(real, request.containerPath, 0), fail)
  return devices.length > 0
    ? devices
    : yield* orFail(
        containerId,
        invalid("devices", `${request.hostPath} is neither a device nor a directory with devices`)
      )
})

/**
 * In a user namespace runtimes make devices on the host's side and bind them, with modes that their umask cuts (crun
 * 1.8). What everybody may read and write has to stay so for users other than root: there the host's own file serves.
 */
const isForAll = ({ device }: FoundDevice) => (device.fileMode & 0o006) === 0o006

export const resolveDevices = Effect.fnUntraced(function* (input: DeviceInput) {
  const { containerId, owner } = input
  const requests = yield* orFail(
    containerId,
    Result.all([
      ...input.additional.map((text) => configuredDevice(text)),
      ...input.annotated.map(annotatedDevice(input.allowed)),
      ...input.requested.map(criDevice)
    ])
  )
  const host = input.allOfHost
    ? yield* Effect.mapError(
        collect("/dev", "/dev", 0),
        (cause) => new SpecHostError({ containerId, field: "devices", path: "/dev", cause })
      )
    : []
  const asked = yield* Effect.forEach(requests, (request) =>
    Effect.map(resolveRequest(containerId, request), (found) =>
      found.map(({ device, hostPath }) => ({
        found: { path: device.path, device: { ...device, ...owner }, hostPath },
        rule: deviceRule(device, request.permissions)
      }))
    )
  )
  const all = distinctDevices([...host, ...asked.flat().map(({ found }) => found)])
  const bound = input.inUserNamespace ? all.filter(isForAll) : []
  return {
    devices: all.filter((found) => !bound.includes(found)).map(({ device }) => device),
    rules: asked.flat().map(({ rule }) => rule),
    mounts: bound.map(({ device, hostPath }) => bind(hostPath, device.path, ["rw", "rprivate", "nosuid", "noexec"]))
  } satisfies ContainerDevices
})
