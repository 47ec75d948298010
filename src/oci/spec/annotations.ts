/** Annotations of the OCI specification. The request's only: an image's labels never get here (CVE-2026-53488). */

export interface AnnotationInput {
  /** Of the CRI request. */
  readonly requested: Readonly<Record<string, string>>
  /** default_annotations of the handler: under the request's. */
  readonly defaults: Readonly<Record<string, string>>
  /** allowed_annotations of the handler: exact names, or a prefix that ends with "*" or ".". */
  readonly allowed: ReadonlyArray<string>
  /** Cricket's own; nobody can override them. */
  readonly own: Readonly<Record<string, string>>
}

/** Annotations that make a runtime, systemd or a hook do something (CVE-2023-6476, CVE-2024-3154). */
const effective: ReadonlyArray<string> = [
  "org.systemd.property.",
  "run.oci.",
  "org.criu.",
  "module.wasm.",
  "cdi.k8s.io/",
  "io.containers.trace-syscall",
  "io.kubernetes.cri.rdt-class",
  "io.kubernetes.cri.blockio-class"
]

/** Names by which hooks and monitors read a container's identity: only Cricket sets them. */
const reserved: ReadonlyArray<string> = ["io.kubernetes.cri-o.", "io.container.manager"]

export const isAllowed = (name: string, allowed: ReadonlyArray<string>) =>
  allowed.some((entry) =>
    entry.endsWith("*")
      ? name.startsWith(entry.slice(0, -1))
      : name === entry || (entry.endsWith(".") && name.startsWith(entry))
  )

export const annotations = (input: AnnotationInput): Readonly<Record<string, string>> => {
  const passes = ([name]: readonly [string, string]) =>
    !reserved.some((prefix) => name.startsWith(prefix)) &&
    (!effective.some((prefix) => name.startsWith(prefix)) || isAllowed(name, input.allowed))
  return Object.fromEntries([
    ...Object.entries(input.defaults),
    ...Object.entries(input.requested).filter(passes),
    ...Object.entries(input.own)
  ])
}

/** What tells hooks, Kata and other tools which part a container plays; CRI-O's names, which they know. */
export const ownAnnotations = (identity: {
  readonly type: "container" | "sandbox"
  readonly id: string
  readonly sandboxId: string
  readonly name: string
}): Readonly<Record<string, string>> => ({
  "io.container.manager": "cricket",
  "io.kubernetes.cri-o.ContainerType": identity.type,
  "io.kubernetes.cri-o.ContainerID": identity.id,
  "io.kubernetes.cri-o.SandboxID": identity.sandboxId,
  "io.kubernetes.cri-o.ContainerName": identity.name
})
