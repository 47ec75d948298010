/** What policy lets in, seen from a pull. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ImagePuller } from "../../src/image/ImagePuller.ts"
import { registryOf } from "./support/fakeRegistry.ts"
import { makeImage } from "./support/images.ts"
import { makePuller, noAuth } from "./support/puller.ts"

const image = makeImage()
const registry = registryOf({ images: [image], tags: { v1: image.manifest } })

const system = "/etc/policy.json"
const settings = { policyFiles: ["/home/policy.json", system], policyDirectory: "/etc/policies" }
const policy = (type: string) => JSON.stringify({ default: [{ type }] })

const pull = (files: Record<string, string>, namespace = "", policyFile = "") => {
  const world = makePuller(registry, { files, settings: { ...settings, policyFile } })
  return Effect.flatMap(ImagePuller, (puller) =>
    puller.pull({ reference: "r.example/app:v1", auth: noAuth, namespace })
  ).pipe(
    Effect.as("pulled"),
    Effect.catch(({ message }) => {
      assert.deepStrictEqual(world.http.log, [], "nothing is asked of the registry")
      return Effect.succeed(message)
    }),
    Effect.provide(world.layer)
  )
}

describe("image trust policy", () => {
  it.effect("lets in what it accepts, and all where there is none", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* pull({}), "pulled")
      assert.strictEqual(yield* pull({ [system]: policy("insecureAcceptAnything") }), "pulled")
    })
  )

  it.effect("kubelet recognises the refusal", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* pull({ [system]: policy("reject") }),
        "SignatureValidationFailed: pull r.example/app:v1: the image is rejected by policy, says /etc/policy.json"
      )
    })
  )

  it.effect("refuses what would need a signature: none is verified", () =>
    Effect.gen(function* () {
      for (const type of ["signedBy", "sigstoreSigned", "signedBaseLayer"]) {
        assert.match(yield* pull({ [system]: policy(type) }), /^SignatureValidationFailed: .*has to be signed/)
      }
    })
  )

  it.effect("all requirements have to be met", () =>
    Effect.gen(function* () {
      const both = JSON.stringify({ default: [{ type: "insecureAcceptAnything" }, { type: "reject" }] })
      assert.match(yield* pull({ [system]: both }), /^SignatureValidationFailed/)
    })
  )

  it.effect("the first file that is there counts: the namespace's, the configured one, the user's, the system's", () =>
    Effect.gen(function* () {
      const accept = policy("insecureAcceptAnything")
      const reject = policy("reject")
      assert.strictEqual(yield* pull({ [system]: reject, "/home/policy.json": accept }), "pulled")
      assert.strictEqual(yield* pull({ [system]: reject, "/etc/own.json": accept }, "", "/etc/own.json"), "pulled")
      const files = { [system]: accept, "/etc/policies/prod.json": reject }
      assert.strictEqual(yield* pull(files, "test"), "pulled")
      assert.match(yield* pull(files, "prod"), /says \/etc\/policies\/prod\.json$/)
      // No namespace has such a name: no path is made of it.
      assert.strictEqual(yield* pull({ "/etc/policies/../x.json": reject }, "../x"), "pulled")
    })
  )

  it.effect("nothing is pulled with a policy that cannot be read, or that is missed", () =>
    Effect.gen(function* () {
      assert.match(yield* pull({ [system]: "{" }), /^image trust policy \/etc\/policy\.json: is not JSON/)
      assert.match(yield* pull({ [system]: "{}" }, "", "/etc/own.json"), /\/etc\/own\.json: is not there/)
    })
  )
})
