/** Device nodes of a container and what its device cgroup allows. */
import { Result } from "effect"
import { posix } from "node:path"
import type { Device as CriDevice } from "../../gen/runtime/v1/api.ts"
import type { FileStat } from "../../linux/Files.ts"
import type { Device, DeviceRule } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"
import { fieldOf } from "./podAnnotations.ts"

export interface DeviceRequest {
  readonly hostPath: string
  readonly containerPath: string
  /** Of "r", "w", "m". */
  readonly permissions: string
}

const isPermissions = (text: string) => /^[rwm]{1,3}$/.test(text)

export const criDevice = (device: CriDevice): Result.Result<DeviceRequest, Fault> => {
  const hostPath = posix.resolve("/", device.hostPath)
  const containerPath = device.containerPath === "" ? hostPath : posix.resolve("/", device.containerPath)
  const permissions = device.permissions === "" ? "rwm" : device.permissions
  if (device.hostPath === "" || !isPermissions(permissions)) {
    return invalid("devices", `${device.hostPath}:${device.containerPath}:${device.permissions} is not a device`)
  }
  return Result.succeed({ hostPath, containerPath, permissions })
}

/** "host[:container][:permissions]", of additional_devices in the configuration unless told. */
export const configuredDevice = (text: string, field = "additional_devices"): Result.Result<DeviceRequest, Fault> => {
  const [hostPath = "", ...rest] = text.split(":")
  const containerPath = rest[0]?.startsWith("/") === true ? rest.shift() : undefined
  const [permissions = "rwm", ...more] = rest
  return hostPath.startsWith("/") && isPermissions(permissions) && more.length === 0
    ? Result.succeed({ hostPath, containerPath: containerPath ?? hostPath, permissions })
    : invalid(field, `${JSON.stringify(text)} is not host:container:permissions`)
}

/** By a pod's annotation: only what allowed_devices of the configuration lists. */
export const annotatedDevice =
  (allowed: ReadonlyArray<string>) =>
  (text: string): Result.Result<DeviceRequest, Fault> =>
    Result.flatMap(configuredDevice(text, fieldOf("devices")), (device) =>
      allowed.includes(device.hostPath)
        ? Result.succeed(device)
        : invalid(fieldOf("devices"), `${device.hostPath} is not one of allowed_devices: ${allowed.join(", ")}`)
    )

/** The kernel's dev_t as libc spreads it over 64 bits (makedev(3)). */
const deviceNumbers = (dev: number): { readonly major: number; readonly minor: number } => {
  const bits = BigInt(dev)
  return {
    major: Number(((bits >> 8n) & 0xfffn) | ((bits >> 32n) & 0xfffff000n)),
    minor: Number((bits & 0xffn) | ((bits >> 12n) & 0xffffff00n))
  }
}

/** undefined for what is not a device. */
export const deviceNode = (path: string, stat: FileStat): Device | undefined => {
  if (stat.kind !== "character" && stat.kind !== "block") return undefined
  return {
    path,
    type: stat.kind === "character" ? "c" : "b",
    ...deviceNumbers(stat.specialDevice),
    fileMode: stat.mode & 0o777,
    uid: stat.uid,
    gid: stat.gid
  }
}

export const deviceRule = ({ type, major, minor }: Device, access: string): DeviceRule => ({
  allow: true,
  type,
  major,
  minor,
  access
})

/** Everything forbidden, then what is listed; runtimes add /dev/null and its like themselves. Privileged: everything. */
export const deviceRules = (privileged: boolean, allowed: ReadonlyArray<DeviceRule>): ReadonlyArray<DeviceRule> =>
  privileged ? [{ allow: true, access: "rwm" }] : [{ allow: false, access: "rwm" }, ...allowed]

/** The later of two devices of one path counts. */
export const distinctDevices = <D extends Pick<Device, "path">>(devices: ReadonlyArray<D>): ReadonlyArray<D> =>
  Array.from(new Map(devices.map((device) => [device.path, device])).values())

/** Entries of the host's /dev that are not devices of the host but of a terminal, a container or a process. */
export const isOwnToContainers = (name: string): boolean =>
  [
    "pts",
    "shm",
    "fd",
    "mqueue",
    "console",
    "ptmx",
    "core",
    "stdin",
    "stdout",
    "stderr",
    ".lxc",
    ".lxd-mounts",
    ".udev"
  ].includes(name)
