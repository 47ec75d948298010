/** Specifications as the service makes them of a request, on a host of a few files. */
import { Effect, Layer } from "effect"
import { defaultSettings } from "../../src/config/document.ts"
import { ContainerSpecs, type ContainerSpecRequest, type ContainerSpecSettings } from "../../src/oci/ContainerSpecs.ts"
import { HostFacts, type HostFactsShape } from "../../src/oci/HostFacts.ts"
import { type FakeHost, fakeLinux } from "./fakeLinux.ts"
import { facts, handler, image } from "./host.ts"
import { containerConfig, linuxConfig, securityContext } from "./requests.ts"

const settings: ContainerSpecSettings = { ...defaultSettings.runtime, ...defaultSettings.image }

export const request: ContainerSpecRequest = {
  id: "c1",
  sandboxId: "p1",
  config: containerConfig({ command: ["sh"] }),
  image,
  handler,
  rootfs: "/rootfs",
  cgroupsPath: "/c1",
  hostname: "h",
  namespaces: { network: "/n", ipc: "/i", uts: "/u", user: undefined, pausePid: undefined, targetPid: undefined },
  podFiles: { hostname: "/pod/hostname", resolvConf: "/pod/resolv.conf", sharedMemory: "/pod/shm" },
  volumeDirectory: "/run/c1/volumes"
}

export interface Given extends Partial<ContainerSpecRequest> {
  readonly host?: FakeHost
  readonly settings?: Partial<ContainerSpecSettings>
  readonly facts?: Partial<HostFactsShape>
}

export const make = ({ host = { files: {} }, settings: changes, facts: known, ...fields }: Given) =>
  Effect.flatMap(ContainerSpecs, (specs) => specs.container({ ...request, ...fields })).pipe(
    Effect.provide(
      ContainerSpecs.layer({ ...settings, ...changes }).pipe(
        Layer.provide(Layer.succeed(HostFacts, { ...facts, ...known })),
        Layer.provide(fakeLinux(host).layer)
      )
    )
  )
export const config = (fields: Parameters<typeof containerConfig>[0]) => containerConfig({ command: ["sh"], ...fields })
export const secured = (fields: Parameters<typeof securityContext>[0]) =>
  config({ linux: linuxConfig({ securityContext: securityContext(fields) }) })
export const messageOf = (given: Given) => Effect.map(Effect.flip(make(given)), ({ message }) => message)
