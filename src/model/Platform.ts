/** Which image of an index runs on this machine (OCI image index, property `platform`; containerd/platforms variants). */
import { Schema } from "effect"

export const Platform = Schema.Struct({
  architecture: Schema.String,
  os: Schema.String,
  variant: Schema.optionalKey(Schema.String)
})
export type Platform = typeof Platform.Type

/** The words of Go, which images use, for Node's `process.arch`. */
const architectures: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  ppc64: "ppc64le",
  mipsel: "mipsle"
}

/** `nodeArch` is `process.arch`; `armVersion` is `process.config.variables.arm_version`, which only 32-bit ARM has. */
export const hostPlatform = (nodeArch: string, armVersion?: string): Platform => {
  const architecture = architectures[nodeArch] ?? nodeArch
  if (architecture === "arm") return { os: "linux", architecture, variant: `v${armVersion ?? "7"}` }
  if (architecture === "arm64") return { os: "linux", architecture, variant: "v8" }
  return { os: "linux", architecture }
}

const armVariants = ["v8", "v7", "v6", "v5"]

/** Variants that a host of this platform can run, best first; "" is an entry without a variant. */
export const runnableVariants = (host: Platform): ReadonlyArray<string> => {
  if (host.architecture === "arm") {
    const own = armVariants.indexOf(host.variant ?? "v7")
    return [...(own < 0 ? [host.variant ?? ""] : armVariants.slice(own)), ""]
  }
  if (host.architecture === "arm64") return ["v8", ""]
  // x86-64-v2 and later levels need a look at the processor; the baseline runs everywhere.
  if (host.architecture === "amd64") return ["", "v1"]
  return host.variant === undefined ? [""] : [host.variant, ""]
}

export const formatPlatform = (platform: Platform): string =>
  [platform.os, platform.architecture, ...(platform.variant ? [platform.variant] : [])].join("/")

/** The first entry of the best variant, or undefined where none runs here. */
export const choosePlatform = <A extends { readonly platform?: Platform }>(
  entries: ReadonlyArray<A>,
  host: Platform
): A | undefined => {
  for (const variant of runnableVariants(host)) {
    const found = entries.find(
      ({ platform }) =>
        platform !== undefined &&
        platform.os === host.os &&
        platform.architecture === host.architecture &&
        (platform.variant ?? "") === variant
    )
    if (found !== undefined) return found
  }
  return undefined
}
