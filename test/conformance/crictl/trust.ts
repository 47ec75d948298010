/** Which images policy.json lets in, as the person at crictl and the store see it. */
import { writeFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { names, type Site } from "./support/Site.ts"

const accept = [{ type: "insecureAcceptAnything" }]
const reject = [{ type: "reject" }]
const signed = [{ type: "signedBy", keyType: "GPGKeys", keyPath: "/etc/containers/key.gpg" }]

const repositoryOf = (name: string) => name.replace(/:[^:/]*$/, "")

export const trustOfImages = (site: () => Site) =>
  describe("images and policy.json", () => {
    const tagsIn = async () => {
      const { images } = await site().crictl.json("images", "-o", "json")
      return images.flatMap(({ repoTags }: { readonly repoTags: ReadonlyArray<string> }) => repoTags)
    }

    it("one scope is rejected, one has to be signed, all else is let in, and the next pull sees a new policy", async () => {
      const { crictl, plain, policy } = site()
      const write = (scopes: Readonly<Record<string, unknown>>) =>
        writeFileSync(policy, JSON.stringify({ default: accept, transports: { docker: scopes } }))
      const before = await tagsIn()
      assert.notIncludeMembers(before, [names.tower, names.assets])
      try {
        write({ [repositoryOf(names.tower)]: reject, [names.assets]: signed })
        const asked = plain.requests("/").length
        // What kubelet makes the reason of its event begins the text that crictl quotes.
        const rejected = await crictl.fails("pull", names.tower)
        assert.match(rejected, /code = Unknown desc = SignatureValidationFailed: pull quay\.io\/example\/tower:127: /)
        assert.include(rejected, `the image is rejected by policy, says ${policy}`)
        const unsigned = await crictl.fails("pull", names.assets)
        assert.match(unsigned, /desc = SignatureValidationFailed: pull quay\.io\/example\/assets:1: .*to be signed/)
        assert.strictEqual(plain.requests("/").length, asked)
        assert.deepStrictEqual(await tagsIn(), before)

        await crictl.ok("pull", names.busybox)
        write({ "quay.io": reject, [repositoryOf(names.tower)]: accept })
        await crictl.ok("pull", names.tower)
        assert.match(await crictl.fails("pull", names.app), /SignatureValidationFailed/)
        assert.sameMembers(await tagsIn(), [...before, names.tower])
        await crictl.ok("rmi", names.tower)
      } finally {
        write({})
      }
      assert.deepStrictEqual(await tagsIn(), before)
    })

    it("nothing is pulled by a policy that cannot be read, and the text says which", async () => {
      const { crictl, policy } = site()
      try {
        writeFileSync(policy, '{ "default": [ {"type": "acceptAll"} ] }')
        assert.include(await crictl.fails("pull", names.assets), `image trust policy ${policy}: `)
        assert.notInclude(await tagsIn(), names.assets)
      } finally {
        writeFileSync(policy, JSON.stringify({ default: accept }))
      }
    })
  })
