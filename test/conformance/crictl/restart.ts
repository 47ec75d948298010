/** The daemon is killed: containers run on, logs go on, and the next daemon knows all that happened meanwhile. */
import { existsSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { assert, beforeAll, describe, it } from "vitest"
import { eventually, names, type Site } from "./support/Site.ts"

export const restartOfTheDaemon = (site: () => Site) =>
  describe("a daemon that is killed and started again", () => {
    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })

    it("finds pods, containers and images as they are", async () => {
      const { crictl, pod, container, startOne, address, killAndRestart, place } = site()
      const ticks = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done"
      const request = pod("survivor")
      const { podId, containerId } = await startOne(request, container("ticks", ticks))
      const create = async (name: string, script: string) => {
        const id = await crictl.create(podId, container(name, script), request)
        return id
      }
      const mortal = await create("mortal", "sleep 1.5; echo last words; exit 9")
      const created = await create("created", "echo started late")
      await crictl.ok("start", mortal)
      const ip = await address(podId)
      const images = await crictl.json("images", "-o", "json")
      const before = await crictl.json("inspect", containerId)

      const log = `${place.logs}/survivor/ticks/0.log`
      const lines = () => readFileSync(log, "utf8").trimEnd().split("\n")
      let endedBy = 0
      await killAndRestart(async () => {
        const atDeath = lines().length
        await eventually("the log goes on without a daemon", () => lines().length > atDeath + 10)
        await eventually("the other one ends", () => existsSync(`${place.runroot}/exits/${mortal}`))
        endedBy = Date.now()
      })
      // Not one line is missing.
      const numbers = lines().map((line) => Number(/tick (\d+)$/.exec(line)?.[1]))
      assert.deepStrictEqual(
        numbers,
        Array.from(numbers, (_, index) => index + 1)
      )

      const after = await crictl.json("inspect", containerId)
      assert.deepStrictEqual(after.status, before.status)
      assert.strictEqual(after.info.pid, before.info.pid)
      assert.strictEqual(await address(podId), ip)
      assert.deepStrictEqual(await crictl.json("images", "-o", "json"), images)
      assert.strictEqual(await crictl.exec(containerId, "echo still here"), "still here")

      const { status } = await crictl.json("inspect", mortal)
      assert.deepInclude(status, { state: "CONTAINER_EXITED", exitCode: 9, reason: "Error" })
      assert.isAtMost(Date.parse(status.finishedAt), endedBy)
      assert.strictEqual(await crictl.ok("logs", mortal), "last words")

      assert.strictEqual((await crictl.json("inspect", created)).status.state, "CONTAINER_CREATED")
      await crictl.ok("start", created)
      assert.strictEqual(
        await eventually("it writes", () => crictl.ok("logs", created).then((text) => text || undefined)),
        "started late"
      )

      await crictl.ok("stop", "--timeout", "0", containerId)
      assert.strictEqual((await crictl.json("inspect", containerId)).status.exitCode, 137)
      await crictl.ok("rm", containerId)
      await crictl.ok("stopp", podId)
      await crictl.ok("rmp", podId)
      assert.strictEqual(await crictl.ok("pods", "-q", "--name", "survivor"), "")
    })

    it("ends a stop that had begun, and a pod that was half made is made when it is asked for again", async () => {
      const { crictl, pod, container, startOne, killAndRestart } = site()
      const { podId, containerId } = await startOne(
        pod("stopping"),
        container("main", "trap '' TERM; while :; do sleep 0.1; done")
      )
      const stop = crictl.run("stop", "--timeout", "3", containerId)
      await sleep(500)
      // Wherever in its making the kill finds it.
      const request = pod("half", { port_mappings: [{ host_port: 28_081, container_port: 8080, protocol: 0 }] })
      const half = crictl.runp(request).catch(() => "")
      await sleep(100)
      await killAndRestart()
      await Promise.all([stop, half])
      const again = await eventually("it runs", () => crictl.runp(request))
      assert.strictEqual(await crictl.ok("pods", "-q", "--name", "half"), again)
      const status = await eventually("it is stopped", async () => {
        const { status } = await crictl.json("inspect", containerId)
        return status.state === "CONTAINER_EXITED" ? status : undefined
      })
      assert.strictEqual(status.exitCode, 137)
      await crictl.ok("rmp", "--force", podId, again)
    })

    it("keeps a pod with a shared PID namespace, and its network works on", async () => {
      const { crictl, pod, container, startOne, killAndRestart, address } = site()
      const shared = { linux: { security_context: { namespace_options: { network: 0, pid: 0, ipc: 0 } } } }
      const { podId, containerId } = await startOne(
        pod("shared-survivor", {}, { pid: 0 }),
        container("main", "exec httpd -f -p 8080 -h /www", shared)
      )
      const url = `http://${await address(podId)}:8080/`
      const page = async () => (await fetch(url, { signal: AbortSignal.timeout(2000) })).text()
      assert.strictEqual(await eventually("httpd answers", page), site().page)
      await killAndRestart()
      assert.strictEqual((await crictl.json("inspectp", podId)).status.state, "SANDBOX_READY")
      assert.strictEqual(await page(), site().page)
      assert.match(await crictl.exec(containerId, "ps -o pid,args"), /^ *1 .*pause/m)
      await crictl.ok("rmp", "--force", podId)
    })
  })
