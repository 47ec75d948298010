/** A registry client that asks a registry in memory. */
import { Effect, Layer, Result, Stream } from "effect"
import type { Credentials } from "../../../src/image/Credentials.ts"
import { PullSettings, type PullSettingsShape } from "../../../src/image/PullSettings.ts"
import { parseReference } from "../../../src/image/Reference.ts"
import { RegistryClient } from "../../../src/image/RegistryClient.ts"
import { parseDigest } from "../../../src/model/Digest.ts"
import { type Handler, makeHttp, registryOf } from "./fakeRegistry.ts"
import { hostFiles } from "./hostFiles.ts"
import { makeImage, sha256 } from "./images.ts"

export const image = makeImage()
export const registry = registryOf({ images: [image], tags: { v1: image.manifest } })

export const open = (
  handler: Handler,
  options: {
    readonly credentials?: Credentials
    readonly insecure?: boolean
    readonly settings?: Partial<PullSettingsShape>
    readonly files?: Record<string, string>
  } = {}
) => {
  const http = makeHttp(handler)
  const session = Effect.flatMap(RegistryClient, (client) =>
    client.open(
      {
        reference: Result.getOrThrow(parseReference("r.example/team/app:v1")),
        insecure: options.insecure ?? false
      },
      options.credentials
    )
  ).pipe(
    Effect.provide(
      RegistryClient.layer.pipe(
        Layer.provide(http.layer),
        Layer.provide(PullSettings.layerTest(options.settings)),
        Layer.provide(hostFiles(options.files ?? {}))
      )
    )
  )
  return {
    log: http.log,
    manifest: (name = "v1") => Effect.flatMap(session, (source) => source.manifest(name)),
    blob: (bytes: Uint8Array, size = bytes.length) =>
      Effect.flatMap(session, (source) =>
        Stream.runCollect(source.blob({ digest: Result.getOrThrow(parseDigest(sha256(bytes))), size }))
      ).pipe(Effect.map((chunks) => Buffer.concat(chunks)))
  }
}
