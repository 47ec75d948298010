/**
 * Which images may be pulled: policy.json (containers-policy.json(5)), read anew for every pull. Signatures are not
 * verified: an image that would need one is refused.
 */
import { Context, Effect, Layer, Option, Result, Schema } from "effect"
import { Files } from "../linux/Files.ts"
import { isGone } from "../linux/LinuxError.ts"
import { parsePolicy, requirementsOf } from "./internal/policyFile.ts"
import { PullSettings } from "./PullSettings.ts"
import { formatReference, type Reference } from "./Reference.ts"

/** kubelet recognises the first word. */
export class SignatureValidationFailed extends Schema.TaggedError<SignatureValidationFailed>()(
  "SignatureValidationFailed",
  { reference: Schema.String, policy: Schema.String, reason: Schema.String }
) {
  override get message(): string {
    return `SignatureValidationFailed: pull ${this.reference}: ${this.reason}, says ${this.policy}`
  }
}

/** A policy that cannot be read in full permits nothing. */
export class TrustPolicyError extends Schema.TaggedError<TrustPolicyError>()("TrustPolicyError", {
  path: Schema.String,
  reason: Schema.String,
  cause: Schema.optionalKey(Schema.Defect())
}) {
  override get message(): string {
    return `image trust policy ${this.path}: ${this.reason}; nothing is pulled until it is right`
  }
}

/** A Kubernetes namespace (RFC 1123 label): what is none names no file. */
const namespacePattern = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

const largest = 4 * 1024 * 1024

export class TrustPolicy extends Context.Service<
  TrustPolicy,
  {
    /** `namespace` is that of the pod for which it is pulled; "" when there is none. Without any policy all is permitted. */
    readonly permit: (
      reference: Reference,
      namespace: string
    ) => Effect.Effect<void, SignatureValidationFailed | TrustPolicyError>
  }
>()("cricket/image/TrustPolicy") {
  static readonly layer = Layer.effect(
    TrustPolicy,
    Effect.gen(function* () {
      const files = yield* Files
      const { policyDirectory, policyFile, policyFiles } = yield* PullSettings

      const read = Effect.fnUntraced(function* (path: string) {
        const found = yield* files.readText(path, { maxBytes: largest }).pipe(
          Effect.asSome,
          Effect.catchIf(isGone, () => Effect.succeedNone),
          Effect.mapError((cause) => new TrustPolicyError({ path, reason: `cannot be read: ${cause.code}`, cause }))
        )
        if (Option.isNone(found)) return undefined
        const parsed = parsePolicy(found.value)
        if (Result.isFailure(parsed)) return yield* new TrustPolicyError({ path, reason: parsed.failure })
        return { path, policy: parsed.success }
      })

      /** The first that is there replaces all others. */
      const load = Effect.fnUntraced(function* (namespace: string) {
        const own = namespacePattern.test(namespace) ? [`${policyDirectory}/${namespace}.json`] : []
        for (const path of [...own, ...(policyFile === "" ? policyFiles : [policyFile])]) {
          const found = yield* read(path)
          if (found !== undefined) return found
        }
        if (policyFile === "") return undefined
        return yield* new TrustPolicyError({
          path: policyFile,
          reason: "is not there, though signature_policy names it"
        })
      })

      const permit = Effect.fn("TrustPolicy.permit")(function* (reference: Reference, namespace: string) {
        const found = yield* load(namespace)
        if (found === undefined) return
        const requirements = requirementsOf(found.policy, reference)
        const refused = requirements.find((one) => one !== "insecureAcceptAnything")
        if (refused === undefined) return
        return yield* new SignatureValidationFailed({
          reference: formatReference(reference),
          policy: found.path,
          reason:
            refused === "reject"
              ? "the image is rejected by policy"
              : `the image has to be signed (${refused}), and signatures cannot be verified by this runtime`
        })
      })
      return TrustPolicy.of({ permit })
    })
  )
}
