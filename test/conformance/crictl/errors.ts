/** What goes wrong, in the codes and words by which kubelet goes on. crictl talks by kubelet's own client. */
import { assert, beforeAll, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { names, type Site } from "./support/Site.ts"

const nobody = "f".repeat(64)

export const errorsAsKubeletReadsThem = (site: () => Site) =>
  describe("errors", () => {
    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })

    it("NotFound for what is not there, and success where gone is what was asked for", async () => {
      const { crictl, client, pod, container, startOne } = site()
      const { podId, containerId } = await startOne(pod("gone"), container("main", "exec sleep 1000"))
      await crictl.ok("rm", "--force", containerId)
      await crictl.ok("rmp", "--force", podId)
      for (const [container_, pod_] of [
        [nobody, nobody],
        [containerId, podId]
      ] as const) {
        assert.match(await crictl.fails("inspect", container_), /code = NotFound/)
        assert.match(await crictl.fails("inspectp", pod_), /code = NotFound/)
        assert.match(await crictl.fails("start", container_), /code = NotFound/)
        assert.match(await crictl.fails("exec", "-s", container_, "true"), /code = NotFound/)
        assert.match(await crictl.fails("logs", "--reopen", container_), /code = NotFound/)
        assert.match(await crictl.createFails(pod_, container("main", "true"), pod("none")), /code = NotFound/)
        const calls = client()
        await calls.stopContainer({ containerId: container_, timeout: 1 })
        await calls.removeContainer({ containerId: container_ })
        await calls.stopPodSandbox({ podSandboxId: pod_ })
        await calls.removePodSandbox({ podSandboxId: pod_ })
        assert.deepStrictEqual((await calls.listContainers({ filter: { id: container_ } })).containers, [])
        assert.deepStrictEqual((await calls.listPodSandbox({ filter: { id: pod_ } })).items, [])
      }
    })

    it("an image that is not here is no error: not when asked for, and not when removed", async () => {
      const calls = site().client()
      for (const image of [nobody, "quay.io/example/none:1", `quay.io/example/none@sha256:${nobody}`]) {
        assert.isNull((await calls.imageStatus({ image: { image } })).image)
        await calls.removeImage({ image: { image } })
        assert.deepStrictEqual((await calls.listImages({ filter: { image: { image } } })).images, [])
      }
    })

    it("pulls: the first word of the message is the reason, without a code before it", async () => {
      const { crictl } = site()
      const dead = "127.0.0.1:24999/team/app:1"
      const refused = await crictl.fails("pull", dead)
      // Its last line is what the client makes of it, as kubelet does for the pod's event.
      const [said = ""] = refused.split("\n").filter((line) => line.includes("level=fatal"))
      assert.match(said, /pulling image: RegistryUnavailable: pull 127\.0\.0\.1:24999\/team\/app:1: /)
      assert.notInclude(said, "rpc error")
      assert.match(
        await crictl.fails("pull", "registry.k8s.io/no/such:1"),
        /code = NotFound desc = pull registry\.k8s\.io/
      )
      assert.match(await crictl.fails("pull", "Registry/Bad Name"), /code = InvalidArgument/)
    })

    it("InvalidArgument for requests that nobody can fulfil", async () => {
      const { crictl, pod, container } = site()
      const request = pod("invalid")
      assert.match(await crictl.runpFails(request, "--runtime", "unheard-of"), /code = InvalidArgument.*unheard-of/)
      assert.match(await crictl.runpFails({ ...request, hostname: "not a name" }), /code = InvalidArgument.*hostname/)
      const podId = await crictl.runp(request)
      const create = (patch: Request) => crictl.createFails(podId, container("main", "true", patch), request)
      assert.match(await create({ log_path: "../../x" }), /code = InvalidArgument.*log_path/)
      assert.match(await create({ command: [], args: [], image: { image: names.assets } }), /code = NotFound.*assets/)
      assert.match(await create({ working_dir: "/proc/self/fd/7" }), /code = InvalidArgument.*working_dir/)
      assert.match(
        await create({ mounts: [{ container_path: "/proc/x", host_path: "/tmp" }] }),
        /code = InvalidArgument.*container_path/
      )
      await crictl.ok("rmp", "--force", podId)
    })

    it("DeadlineExceeded for an exec that takes too long, AlreadyExists for a taken name", async () => {
      const { crictl, pod, container, startOne } = site()
      const request = pod("late")
      const { podId, containerId } = await startOne(request, container("main", "exec sleep 1000"))
      assert.match(
        await crictl.fails("exec", "-s", "--timeout", "1", containerId, "sleep", "30"),
        /code = DeadlineExceeded.*timed out/
      )
      const other = container("main", "exec sleep 1000", { labels: { another: "request" } })
      assert.match(await crictl.createFails(podId, other, request), /code = AlreadyExists.*name/)
      assert.match(await crictl.fails("start", containerId), /code = FailedPrecondition/)
      assert.match(await crictl.fails("rmi", names.busybox), new RegExp(`code = FailedPrecondition.*${containerId}`))
      await crictl.ok("stop", "--timeout", "0", containerId)
      assert.match(await crictl.fails("exec", "-s", containerId, "true"), /code = FailedPrecondition/)
      await crictl.ok("stop", "--timeout", "0", containerId)
      await crictl.ok("rmp", "--force", podId)
    })
  })
