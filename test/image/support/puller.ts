/** The whole pull with everything outside the process replaced. */
import { Layer } from "effect"
import type { AuthConfig } from "../../../src/gen/runtime/v1/api.ts"
import { ImagePuller } from "../../../src/image/ImagePuller.ts"
import { Images } from "../../../src/image/Images.ts"
import { PullSettings, type PullSettingsShape } from "../../../src/image/PullSettings.ts"
import { RegistriesConf } from "../../../src/image/RegistriesConf.ts"
import { RegistryClient } from "../../../src/image/RegistryClient.ts"
import { TrustPolicy } from "../../../src/image/TrustPolicy.ts"
import { type Handler, makeHttp } from "./fakeRegistry.ts"
import { hostFiles } from "./hostFiles.ts"
import { makeMemoryStore } from "./memoryStore.ts"

export const registriesConf = "/etc/registries.conf"

export const makePuller = (
  handler: Handler,
  options: { readonly files?: Record<string, string>; readonly settings?: Partial<PullSettingsShape> } = {}
) => {
  const http = makeHttp(handler)
  const store = makeMemoryStore()
  const layer = Layer.mergeAll(ImagePuller.layer, Images.layer).pipe(
    Layer.provideMerge(Layer.mergeAll(RegistryClient.layer, RegistriesConf.layer, TrustPolicy.layer)),
    Layer.provideMerge(Layer.mergeAll(http.layer, store.layer)),
    Layer.provideMerge(PullSettings.layerTest({ registriesConf, ...options.settings })),
    Layer.provideMerge(hostFiles(options.files ?? {})),
    // Two of these may be in one test.
    Layer.fresh
  )
  return { http, store, layer }
}

export const noAuth: AuthConfig = {
  username: "",
  password: "",
  auth: "",
  serverAddress: "",
  identityToken: "",
  registryToken: ""
}
