/** Pulls images: one download per reference and credentials, shared by all who ask, stopped when nobody asks any more. */
import { Context, Effect, Equal, Fiber, Hash, Layer, RcMap, Semaphore } from "effect"
import type { AuthConfig } from "../gen/runtime/v1/api.ts"
import { Files } from "../linux/Files.ts"
import { ImageStore, type StoredImage } from "../store/ImageStore.ts"
import { type Credentials, fingerprint, fromAuthConfig, fromNode } from "./Credentials.ts"
import { installImage } from "./internal/installImage.ts"
import { makeLayerClaims } from "./internal/layerClaims.ts"
import { isLocal, type PullError, toPullError } from "./PullError.ts"
import { PullSettings } from "./PullSettings.ts"
import { formatReference, isShortName, pinned, type Reference } from "./Reference.ts"
import { type PullSource, RegistriesConf } from "./RegistriesConf.ts"
import { RegistryClient } from "./RegistryClient.ts"
import { type SignatureValidationFailed, TrustPolicy } from "./TrustPolicy.ts"

export interface PullRequest {
  /** As the user wrote it: short names are allowed. */
  readonly reference: string
  readonly auth: AuthConfig | undefined
  /** Of the pod that needs it, which may have a trust policy of its own. */
  readonly namespace?: string
}

/** What makes two requests the same pull. */
class PullJob implements Equal.Equal {
  readonly references: ReadonlyArray<Reference>
  readonly credentials: Credentials | undefined
  private readonly identity: string

  constructor(references: ReadonlyArray<Reference>, credentials: Credentials | undefined) {
    this.references = references
    this.credentials = credentials
    this.identity = [...references.map(formatReference), fingerprint(credentials)].join(" ")
  }
  [Equal.symbol](that: unknown): boolean {
    return that instanceof PullJob && that.identity === this.identity
  }
  [Hash.symbol](): number {
    return Hash.string(this.identity)
  }
}

export class ImagePuller extends Context.Service<
  ImagePuller,
  {
    /**
     * Answers when the image is in the store under the name asked for. Interruption leaves the shared download; the last
     * to leave stops it, and nothing of it stays behind.
     */
    readonly pull: (request: PullRequest) => Effect.Effect<StoredImage, PullError>
  }
>()("cricket/image/ImagePuller") {
  static readonly layer: Layer.Layer<
    ImagePuller,
    never,
    Files | ImageStore | PullSettings | RegistriesConf | RegistryClient | TrustPolicy
  > = Layer.effect(
    ImagePuller,
    Effect.gen(function* () {
      const context = yield* Effect.context<Files | ImageStore | PullSettings>()
      const { layersInAll, layersPerImage, platform } = yield* PullSettings
      const registries = yield* RegistriesConf
      const client = yield* RegistryClient
      const trust = yield* TrustPolicy
      const limits = {
        claims: yield* makeLayerClaims,
        downloads: yield* Semaphore.make(layersInAll),
        layersPerImage
      }

      const pullFrom = Effect.fnUntraced(function* (
        source: PullSource,
        reference: Reference,
        credentials: Credentials | undefined
      ) {
        const name = formatReference(reference)
        const session = yield* client.open(source, credentials)
        const tagOrDigest = source.reference.digest ?? source.reference.tag ?? "latest"
        return yield* installImage(
          { source: session, reference: name, tagOrDigest, names: [name], platform },
          limits
        ).pipe(
          // Somebody removed an image that shares layers between our look at them and the commit.
          Effect.retry({ times: 1, while: (error) => error._tag === "LayerMissing" })
        )
      }, Effect.provideContext(context))

      /** Asks the sources of one reference in turn. */
      const pullReference = Effect.fnUntraced(function* (asked: Reference, credentials: Credentials | undefined) {
        const reference = pinned(asked)
        const others: Array<string> = []
        const sources = yield* registries.sources(reference)
        for (const [index, source] of sources.entries()) {
          // The request's credentials are for the registry that the user named; a mirror elsewhere gets only its own.
          const own = source.reference.domain === reference.domain ? credentials : undefined
          const used = own ?? (yield* fromNode(source.reference).pipe(Effect.provideContext(context)))
          const result = yield* Effect.result(pullFrom(source, reference, used))
          if (result._tag === "Success") return result.success
          if (index === sources.length - 1 || isLocal(result.failure)) {
            return yield* toPullError(formatReference(reference), result.failure, others)
          }
          yield* Effect.logDebug(`pull ${formatReference(reference)}: next source after ${result.failure.message}`)
          others.push(result.failure.message)
        }
        return yield* Effect.die(new Error(`no source for ${formatReference(reference)}`))
      })

      const run = Effect.fn("ImagePuller.run")(function* (job: PullJob) {
        const [first, ...rest] = job.references
        if (first === undefined) return yield* Effect.die(new Error("a pull without reference"))
        let attempt: Effect.Effect<StoredImage, PullError> = pullReference(first, job.credentials)
        for (const next of rest) attempt = Effect.catch(attempt, () => pullReference(next, job.credentials))
        return yield* attempt
      })

      const jobs = yield* RcMap.make({
        lookup: (job: PullJob) => Effect.forkScoped(run(job), { startImmediately: true })
      })

      /** Of what a short name can mean, that which policy lets in. */
      const permitted = Effect.fnUntraced(function* (references: ReadonlyArray<Reference>, namespace: string) {
        const admitted: Array<Reference> = []
        let refused: SignatureValidationFailed | undefined
        for (const reference of references) {
          yield* trust.permit(reference, namespace).pipe(
            Effect.map(() => void admitted.push(reference)),
            Effect.catchTag("SignatureValidationFailed", (failure) => Effect.sync(() => void (refused ??= failure)))
          )
        }
        return admitted.length === 0 && refused !== undefined ? yield* refused : admitted
      })

      const pull = Effect.fn("ImagePuller.pull")(function* (
        request: PullRequest
      ): Effect.fn.Return<StoredImage, PullError> {
        const meant = yield* registries.resolve(request.reference)
        const references = yield* permitted(meant, request.namespace ?? "")
        const [first] = references
        // A name that may mean several registries names none of them: none gets the secret.
        const credentials =
          meant.length === 1 && first !== undefined
            ? fromAuthConfig(request.auth, first, isShortName(request.reference))
            : undefined
        return yield* Effect.scoped(Effect.flatMap(RcMap.get(jobs, new PullJob(references, credentials)), Fiber.join))
      })
      return ImagePuller.of({ pull })
    })
  )
}
