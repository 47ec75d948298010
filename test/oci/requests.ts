/** CRI messages with their defaults and a few fields set. */
import {
  Capability,
  ContainerConfig,
  LinuxContainerConfig,
  LinuxContainerResources,
  LinuxContainerSecurityContext,
  Mount,
  NamespaceOption
} from "../../src/gen/runtime/v1/api.ts"

const empty = new Uint8Array()

const withDefaults =
  <T>(codec: { readonly decode: (bytes: Uint8Array) => T }) =>
  (fields: Partial<T> = {}): T => ({ ...codec.decode(empty), ...fields })

export const containerConfig = withDefaults(ContainerConfig)
export const linuxConfig = withDefaults(LinuxContainerConfig)
export const securityContext = withDefaults(LinuxContainerSecurityContext)
export const containerResources = withDefaults(LinuxContainerResources)
export const namespaceOption = withDefaults(NamespaceOption)
export const capability = withDefaults(Capability)
export const criMount = withDefaults(Mount)
