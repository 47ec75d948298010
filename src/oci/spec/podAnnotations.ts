/**
 * Annotations by which a pod asks for what the CRI has no field for: CRI-O's, with effect where allowed_annotations of the
 * pod's handler let them.
 */
import { Result } from "effect"
import { isAllowed } from "./annotations.ts"
import { type Fault, invalid } from "./fault.ts"

/** The name, and the one before it. Whichever of them is allowed lets both in. */
const names = {
  devices: ["devices.crio.io", "io.kubernetes.cri-o.Devices"],
  shmSize: ["shm-size.crio.io", "io.kubernetes.cri-o.ShmSize"],
  umask: ["umask.crio.io", "io.kubernetes.cri-o.umask"]
} as const

export interface PodAnnotations {
  /** Of the pod sandbox. */
  readonly annotations: Readonly<Record<string, string>>
  /** allowed_annotations of its handler. */
  readonly allowed: ReadonlyArray<string>
}

const asked = (kind: keyof typeof names, { annotations, allowed }: PodAnnotations): string | undefined =>
  names[kind].some((name) => isAllowed(name, allowed))
    ? names[kind].map((name) => annotations[name]).find((value) => value !== undefined && value !== "")
    : undefined

export const fieldOf = (kind: keyof typeof names): string => `annotation ${names[kind][0]}`

/** Each "host[:container][:permissions]", as in additional_devices. */
export const annotatedDevices = (pod: PodAnnotations): ReadonlyArray<string> =>
  (asked("devices", pod) ?? "")
    .split(",")
    .map((device) => device.trim())
    .filter((device) => device !== "")

/** For all processes of all containers of the pod; undefined leaves it to the runtime. */
export const annotatedUmask = (pod: PodAnnotations): Result.Result<number | undefined, Fault> => {
  const text = asked("umask", pod)
  if (text === undefined) return Result.succeed(undefined)
  return /^0?[0-7]{1,3}$/.test(text)
    ? Result.succeed(Number.parseInt(text, 8))
    : invalid(fieldOf("umask"), `${JSON.stringify(text)} is not an octal number of up to three digits, such as 027`)
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40
}

/** Bytes of the pod's /dev/shm; undefined leaves it at its default. Kubernetes writes sizes so (resource.Quantity). */
export const annotatedShmSize = (pod: PodAnnotations): Result.Result<number | undefined, Fault> => {
  const text = asked("shmSize", pod)
  if (text === undefined) return Result.succeed(undefined)
  const [, digits = "0", unit = ""] = /^(\d{1,15})([kMGT]|[KMGT]i)?$/.exec(text) ?? []
  const size = Number(digits) * (units[unit] ?? 0)
  return size > 0 && Number.isSafeInteger(size)
    ? Result.succeed(size)
    : invalid(fieldOf("shmSize"), `${JSON.stringify(text)} is not a size such as 256Mi`)
}
