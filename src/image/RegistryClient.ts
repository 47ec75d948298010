/** The pull side of the OCI distribution specification. */
import { Context, Duration, Effect, Layer } from "effect"
import { HttpClient } from "effect/http"
import { Files } from "../linux/Files.ts"
import type { Credentials } from "./Credentials.ts"
import type { ImageSource } from "./ImageSource.ts"
import { certificatesFor } from "./internal/certificates.ts"
import { makeRepository } from "./internal/repository.ts"
import { PullSettings } from "./PullSettings.ts"
import type { PullSource } from "./RegistriesConf.ts"
import type { RegistryError } from "./RegistryError.ts"

/** Milliseconds without useful progress after which a connection is given up and replaced. */
const longestPatienceMs = 60_000

export class RegistryClient extends Context.Service<
  RegistryClient,
  {
    /**
     * One repository for one pull: remembers its authorization. Credentials go to this registry and its token server only.
     * Requests are made when the parts are asked for.
     */
    readonly open: (
      source: PullSource,
      credentials: Credentials | undefined
    ) => Effect.Effect<ImageSource<RegistryError>, RegistryError>
  }
>()("cricket/image/RegistryClient") {
  static readonly layer: Layer.Layer<RegistryClient, never, HttpClient.HttpClient | Files | PullSettings> =
    Layer.effect(
      RegistryClient,
      Effect.gen(function* () {
        const client = yield* HttpClient.HttpClient
        const context = yield* Effect.context<Files | PullSettings>()
        const { progressTimeout } = yield* PullSettings
        const progressTimeoutMs = Duration.toMillis(progressTimeout)
        // A second connection is to have its chance before the time is over.
        const patienceMs =
          progressTimeoutMs > 0 ? Math.min(progressTimeoutMs / 2, longestPatienceMs) : longestPatienceMs

        const open = Effect.fn("RegistryClient.open")(function* (
          source: PullSource,
          credentials: Credentials | undefined
        ) {
          const certificates = yield* certificatesFor(source.reference.domain)
          const policy = { insecure: source.insecure, ...certificates }
          return yield* makeRepository({ client, source, policy, credentials, patienceMs, progressTimeoutMs })
        }, Effect.provideContext(context))

        return RegistryClient.of({ open })
      })
    )
}
