/** pull, images, inspecti, imagefsinfo, rmi: from a plain registry, and from one with TLS and passwords. */
import { renameSync } from "node:fs"
import { assert, describe, it } from "vitest"
import { credentials, names, type Site } from "./support/Site.ts"

interface Listed {
  readonly id: string
  readonly repoTags: ReadonlyArray<string>
  readonly repoDigests: ReadonlyArray<string>
  readonly size: string
}

const listed = async ({ crictl }: Site): Promise<ReadonlyArray<Listed>> =>
  (await crictl.json("images", "-o", "json")).images

const usedBytes = async ({ crictl }: Site): Promise<number> => {
  const { status } = await crictl.json("imagefsinfo")
  return Number(status.imageFilesystems[0].usedBytes.value)
}

const creds = `${credentials.username}:${credentials.password}`

export const imagesOfRegistries = (site: () => Site) =>
  describe("images", () => {
    it("are pulled from a plain registry, each layer as it is compressed", async () => {
      const { crictl, images } = site()
      assert.deepStrictEqual(await listed(site()), [])
      const empty = await usedBytes(site())
      for (const name of ["busybox", "nginx", "app"] as const) {
        const said = await crictl.ok("pull", names[name])
        assert.include(said, images[name].id)
        const repository = names[name].replace(/:[^:/]*$/, "")
        const found = (await listed(site())).find(({ id }) => id === images[name].id)
        assert.deepStrictEqual(found?.repoTags, [names[name]])
        assert.deepStrictEqual(found?.repoDigests, [`${repository}@${images[name].digest}`])
        assert.isAbove(Number(found?.size), 500_000)
      }
      assert.isAbove(await usedBytes(site()), empty + 500_000)
      // A second time nothing comes but the manifest.
      const blobs = () => site().plain.requests("/blobs/").length
      const before = blobs()
      await crictl.ok("pull", names.busybox)
      assert.strictEqual(blobs(), before)
    })

    it("are shown by tag, digest, id and the beginning of one", async () => {
      const { crictl, images } = site()
      const { id, digest } = images.app
      const repository = names.app.replace(/:\d+$/, "")
      for (const name of [names.app, `${repository}@${digest}`, id, id.slice(0, 12), `sha256:${id}`]) {
        const { status, info } = await crictl.json("inspecti", name)
        assert.strictEqual(status.id, id, name)
        assert.strictEqual(status.username, "app")
        assert.deepStrictEqual(info.imageSpec.config.Entrypoint, ["/entry.sh"])
      }
      assert.deepStrictEqual(await crictl.json("images", "-o", "json", id).then((one) => one.images.length), 1)
      const table = await crictl.ok("images")
      assert.match(table, new RegExp(`^quay.io/example/app +2 +${id.slice(0, 13)}`, "m"))
    })

    it("are pulled by digest, without a tag", async () => {
      const { crictl, images } = site()
      const byDigest = `registry.k8s.io/pause@${images.pause.digest}`
      await crictl.ok("pull", byDigest)
      const { status } = await crictl.json("inspecti", byDigest)
      assert.deepStrictEqual([status.id, status.repoTags, status.repoDigests], [images.pause.id, [], [byDigest]])
      await crictl.ok("rmi", images.pause.id)
    })

    it("are pulled by TLS with the password of the request", async () => {
      const { crictl, images, secret } = site()
      await crictl.ok("pull", "--creds", creds, secret)
      // The same bytes from another registry: one image with both names.
      const { status } = await crictl.json("inspecti", secret)
      assert.strictEqual(status.id, images.busybox.id)
      assert.sameMembers(status.repoTags, [names.busybox, secret])
    })

    it("are refused without a password, with a wrong one, and from a server that nobody vouches for", async () => {
      const { crictl, authority, secret } = site()
      assert.match(await crictl.fails("pull", secret), /team\/busybox.*access denied.*none is configured/)
      const wrong = await crictl.fails("pull", "--creds", `${credentials.username}:guess`, secret)
      assert.match(wrong, /team\/busybox.*access denied.*user .*robot.* not accepted/)
      assert.notInclude(wrong, "guess")
      renameSync(authority, `${authority}.away`)
      try {
        assert.match(await crictl.fails("pull", "--creds", creds, secret), /certificate/i)
      } finally {
        renameSync(`${authority}.away`, authority)
      }
    })

    it("that are nowhere fail with their names, and so do names that are none", async () => {
      const { crictl } = site()
      assert.match(
        await crictl.fails("pull", "registry.k8s.io/pause:none"),
        /registry\.k8s\.io\/pause:none.*not found/is
      )
      assert.match(await crictl.fails("pull", "registry.k8s.io/no/such:1"), /registry\.k8s\.io\/no\/such:1/)
      assert.match(await crictl.fails("pull", "Registry/Bad Name"), /Registry\/Bad Name/)
      assert.match(await crictl.fails("inspecti", "docker.io/library/unknown:1"), /no such image|not found/i)
      assert.match(await crictl.fails("rmi", "docker.io/library/unknown:1"), /no such image|not found/i)
    })

    it("go with all their names, and their space with them", async () => {
      const { crictl, images, secret } = site()
      const before = await usedBytes(site())
      const removed = await crictl.ok("rmi", names.nginx)
      assert.include(removed, names.nginx)
      assert.isUndefined((await listed(site())).find(({ id }) => id === images.nginx.id))
      assert.isBelow(await usedBytes(site()), before)
      await crictl.ok("pull", names.nginx)
      assert.strictEqual(await usedBytes(site()), before)

      await crictl.ok("rmi", secret)
      assert.isUndefined((await listed(site())).find(({ id }) => id === images.busybox.id))
      await crictl.ok("pull", names.busybox)
    })
  })
