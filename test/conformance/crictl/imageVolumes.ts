/** Images as volumes: read-only, with sub paths that cannot leave the image, in use as long as a container has them. */
import { readFileSync } from "node:fs"
import { assert, beforeAll, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

const volume = (containerPath: string, patch: Request = {}): Request => ({
  container_path: containerPath,
  readonly: true,
  image: { image: names.assets, user_specified_image: names.assets },
  ...patch
})

export const imageVolumes = (site: () => Site) =>
  describe("image volumes", () => {
    const mountsOfStore = () =>
      readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(`${site().place.root}/overlay/`)).length

    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })

    it("show the image, whole and in parts, for reading only", async () => {
      const { crictl, pod, container, startOne } = site()
      const pulled = await crictl.ok("pull", names.assets)
      const mounts = [
        volume("/whole"),
        volume("/part", { image_sub_path: "models" }),
        volume("/file", { image_sub_path: "models/weights" }),
        volume("/inside", { image_sub_path: "absolute/secret" }),
        volume("/up", { image_sub_path: "up" })
      ]
      const before = mountsOfStore()
      const { podId, containerId } = await startOne(pod("volumes"), container("main", "exec sleep 1000", { mounts }))
      const seen = await crictl.exec(
        containerId,
        `cat /whole/models/weights /part/weights /file /inside; ls /up; ls /whole
         for path in /whole /part; do touch $path/new 2>/dev/null || echo refused; done
         /part/tool; grep -c ' /\\(whole\\|part\\|file\\|inside\\|up\\) .*ro,nosuid,nodev' /proc/self/mounts`
      )
      assert.deepStrictEqual(seen.split("\n"), [
        "tuned",
        "tuned",
        "tuned",
        "of the image",
        "secret",
        "absolute",
        "etc",
        "fifo",
        "loop",
        "models",
        "up",
        "refused",
        "refused",
        "ran",
        "5"
      ])

      const { status } = await crictl.json("inspect", containerId)
      const part = status.mounts.find(({ containerPath }: Request) => containerPath === "/part")
      assert.strictEqual(part.image.image, names.assets)
      // What PullImage answered.
      assert.strictEqual(`Image is up to date for ${part.image.imageRef}`, pulled)
      assert.deepStrictEqual([part.imageSubPath, part.readonly, part.hostPath], ["models", true, ""])

      // A container that reads it keeps the image; the message names that container.
      assert.match(await crictl.fails("rmi", names.assets), new RegExp(`used by container ${containerId}`))
      assert.strictEqual(await crictl.exec(containerId, "cat /part/weights"), "tuned")
      await crictl.ok("rmp", "--force", podId)
      assert.isAtMost(mountsOfStore(), before)
      await crictl.ok("rmi", names.assets)
    })

    it("outlive the daemon, and go with the container after it", async () => {
      const { crictl, pod, container, startOne, killAndRestart } = site()
      await crictl.ok("pull", names.assets)
      const { podId, containerId } = await startOne(
        pod("volume-kept"),
        container("main", "exec sleep 1000", { mounts: [volume("/whole")] })
      )
      await killAndRestart()
      await eventually("the daemon is ready", async () => await crictl.ok("pods"))
      assert.strictEqual(await crictl.exec(containerId, "cat /whole/models/weights"), "tuned")
      assert.match(await crictl.fails("rmi", names.assets), new RegExp(containerId))
      await crictl.ok("rmp", "--force", podId)
      await crictl.ok("rmi", names.assets)
    })

    it("that cannot be mounted fail with the word that kubelet knows, and leave nothing", async () => {
      const { crictl, pod, container, place } = site()
      await crictl.ok("pull", names.assets)
      const request = pod("volume-refused")
      const podId = await crictl.runp(request)
      const refused = async (patch: Request) =>
        await crictl.createFails(podId, container("main", "true", { mounts: [volume("/mnt", patch)] }), request)
      for (const [patch, reason] of [
        [{ image_sub_path: "no/such" }, "ENOENT|no such"],
        [{ image_sub_path: "../etc" }, "leads out"],
        [{ image_sub_path: "fifo" }, "fifo"],
        [{ image_sub_path: "loop" }, "ELOOP|loop"],
        [{ image: { image: "quay.io/example/none:1" } }, "no such image"],
        [{ host_path: "/tmp" }, "host_path"],
        [{ readonly: false }, "can only be read"]
      ] as const) {
        assert.match(await refused(patch), new RegExp(`desc = ImageVolumeMountFailed: .*(${reason})`), reason)
      }
      assert.deepStrictEqual((await crictl.json("ps", "-a", "-o", "json", "--pod", podId)).containers, [])
      await crictl.ok("rmp", "--force", podId)
      await crictl.ok("rmi", names.assets)
      const stored = JSON.parse(readFileSync(`${place.root}/overlay-containers/containers.json`, "utf8"))
      assert.deepStrictEqual(
        stored.filter(({ metadata }: { metadata: string }) => metadata.includes("volume-of")),
        []
      )
    })
  })
