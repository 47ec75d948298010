/** runp, create, start, ps, inspect, exec -s, logs, stats, stop, rm, stopp, rmp: one pod's whole life, and what goes wrong. */
import { readFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

const script = "trap 'echo bye; exit 7' TERM; echo out; echo err >&2; while :; do sleep 0.1; done"

const isTime = (text: string) => assert.match(text, /^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d/)

export const lifeOfPods = (site: () => Site) =>
  describe("pods", () => {
    // One pod goes through all the commands, in their order.
    let request: Request
    let podId: string
    let containerId: string

    it("run", async () => {
      const { crictl, pod } = site()
      request = pod("life")
      podId = await crictl.runp(request)
      assert.match(podId, /^[0-9a-f]{64}$/)
      const { items } = await crictl.json("pods", "-o", "json", "--name", "life")
      assert.strictEqual(items.length, 1)
      const [{ id, state, metadata, labels, annotations, createdAt }] = items
      assert.deepStrictEqual([id, state, metadata], [podId, "SANDBOX_READY", request.metadata])
      assert.deepStrictEqual([labels, annotations], [{ app: "life" }, { note: "of life" }])
      assert.isAbove(Number(createdAt), 1.7e18)
      assert.strictEqual(await crictl.ok("pods", "-q", "--label", "app=life", "--state", "ready"), podId)
      assert.strictEqual(await crictl.ok("pods", "-q", "--label", "app=other"), "")
      assert.match(await crictl.ok("pods"), new RegExp(`^${podId.slice(0, 13)} .* Ready +life +default +0`, "m"))
    })

    it("are inspected", async () => {
      const { crictl, place } = site()
      const { status } = await crictl.json("inspectp", podId)
      assert.deepInclude(status, { id: podId, state: "SANDBOX_READY", metadata: request.metadata })
      assert.match(status.network.ip, /^10\.213\.8[12]\.\d+$/)
      assert.deepInclude(status.linux.namespaces.options, { network: "POD", pid: "CONTAINER", ipc: "POD" })
      isTime(status.createdAt)
      // A prefix will do.
      assert.strictEqual((await crictl.json("inspectp", podId.slice(0, 8))).status.id, podId)
      assert.isTrue(place.bridge.startsWith("cricket"))
    })

    it("have containers made in them", async () => {
      const { crictl, container, images } = site()
      containerId = await crictl.create(podId, container("main", script, { labels: { tier: "web" } }), request)
      assert.match(containerId, /^[0-9a-f]{64}$/)
      assert.strictEqual(await crictl.ok("ps", "-q", "--pod", podId), "")
      const { containers } = await crictl.json("ps", "-a", "-o", "json", "--pod", podId)
      const [{ id, state, podSandboxId, imageId, labels, metadata }] = containers
      assert.deepStrictEqual([id, state, podSandboxId], [containerId, "CONTAINER_CREATED", podId])
      assert.deepStrictEqual(
        [imageId, labels, metadata],
        [images.busybox.id, { tier: "web" }, { name: "main", attempt: 0 }]
      )
      const { status } = await crictl.json("inspect", containerId)
      assert.strictEqual(status.state, "CONTAINER_CREATED")
      isTime(status.createdAt)
      assert.match(await crictl.fails("exec", "-s", containerId, "true"), new RegExp(`${containerId}.*Created`))
      assert.strictEqual((await crictl.json("stats", "-o", "json", "--id", containerId)).stats.length, 0)
    })

    it("have containers started in them", async () => {
      const { crictl, images, place } = site()
      assert.strictEqual(await crictl.ok("start", containerId), containerId)
      assert.strictEqual(await crictl.ok("ps", "-q", "--pod", podId, "--state", "running"), containerId)
      const { status, info } = await crictl.json("inspect", containerId)
      assert.deepInclude(status, {
        id: containerId,
        state: "CONTAINER_RUNNING",
        exitCode: 0,
        imageId: images.busybox.id,
        imageRef: `registry.k8s.io/e2e-test-images/busybox@${images.busybox.digest}`,
        logPath: `${place.logs}/life/main/0.log`,
        reason: ""
      })
      assert.strictEqual(status.image.image, names.busybox)
      isTime(status.startedAt)
      assert.strictEqual(info.runtime, site().runtime)
      assert.isAbove(info.pid, 1)
      assert.match(await crictl.fails("start", containerId), new RegExp(`${containerId}.*Running`))
      assert.match(
        await crictl.ok("ps"),
        new RegExp(`^${containerId.slice(0, 13)} .* Running +main +0 +${podId.slice(0, 13)}`, "m")
      )
    })

    it("have commands run in them", async () => {
      const { crictl } = site()
      assert.strictEqual(await crictl.exec(containerId, "hostname; cat /etc/hostname"), "life\nlife")
      const failed = await crictl.run("exec", "-s", containerId, "sh", "-c", "echo no >&2; exit 3")
      assert.strictEqual(failed.code, 1)
      assert.match(failed.stderr, /exited with 3: no/)
      assert.match(await crictl.fails("exec", "-s", containerId, "/no/such/program"), /no\/such\/program/)
      const slow = await crictl.fails("exec", "-s", "--timeout", "1", containerId, "sleep", "100")
      assert.match(slow, /DeadlineExceeded|timed out/)
      assert.strictEqual(await crictl.exec(containerId, "ps -o args | grep 'sleep 10[0]' || echo gone"), "gone")
      const big = await crictl.run("exec", "-s", containerId, "sh", "-c", "yes 0123456789 | head -c 3000000")
      assert.strictEqual(big.stdout.trimEnd().length, 3_000_000)
    })

    it("have logs in the format of the CRI", async () => {
      const { crictl, place } = site()
      const log = readFileSync(`${place.logs}/life/main/0.log`, "utf8").trimEnd().split("\n")
      const pattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(Z|[+-]\d\d:\d\d) (stdout|stderr) F (out|err)$/
      assert.strictEqual(log.length, 2)
      for (const line of log) assert.match(line, pattern)
      const { stdout, stderr } = await crictl.run("logs", containerId)
      assert.deepStrictEqual([stdout, stderr], ["out\n", "err\n"])
      assert.strictEqual(await crictl.ok("logs", "--stream", "stdout", containerId), "out")
    })

    it("have statistics", async () => {
      const { crictl, place } = site()
      await crictl.exec(
        containerId,
        "head -c 3000000 /dev/zero > /grown; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"
      )
      const measured = await eventually("the layer is measured anew", async () => {
        const { stats } = await crictl.json("stats", "-o", "json", "--id", containerId)
        return Number(stats[0].writableLayer?.usedBytes?.value ?? 0) > 2_900_000 ? stats[0] : undefined
      })
      assert.deepStrictEqual(measured.attributes.metadata, { name: "main", attempt: 0 })
      assert.deepStrictEqual(measured.attributes.labels, { tier: "web" })
      assert.isAbove(Number(measured.cpu.usageCoreNanoSeconds.value), 1_000_000)
      assert.isAbove(Number(measured.cpu.timestamp), 1.7e18)
      assert.isAbove(Number(measured.memory.workingSetBytes.value), 10_000)
      assert.isAtMost(Number(measured.memory.workingSetBytes.value), Number(measured.memory.usageBytes.value))
      assert.isAbove(Number(measured.memory.pageFaults.value), 0)
      assert.isTrue(measured.writableLayer.fsId.mountpoint.startsWith(place.root))
      assert.isAtLeast(Number(measured.writableLayer.inodesUsed.value), 2)
      assert.match(await crictl.ok("stats", containerId), new RegExp(`^${containerId.slice(0, 13)} +main `, "m"))
      const all = await crictl.json("stats", "-o", "json", "--pod", podId)
      assert.deepStrictEqual(
        all.stats.map(({ attributes }: { attributes: { id: string } }) => attributes.id),
        [containerId]
      )
    })

    it("have their containers stopped by their signal, with the exit code that it makes", async () => {
      const { crictl } = site()
      const started = Date.now()
      assert.strictEqual(await crictl.ok("stop", "--timeout", "20", containerId), containerId)
      assert.isBelow(Date.now() - started, 10_000)
      const { status } = await crictl.json("inspect", containerId)
      assert.deepInclude(status, { state: "CONTAINER_EXITED", exitCode: 7, reason: "Error" })
      isTime(status.finishedAt)
      assert.strictEqual(await crictl.ok("logs", "--tail", "1", containerId), "bye")
      assert.strictEqual(await crictl.ok("ps", "-q", "--pod", podId), "")
      // Stopping what has stopped is done already; the image is in use as long as there is a container.
      await crictl.ok("stop", containerId)
      assert.match(await crictl.fails("exec", "-s", containerId, "true"), new RegExp(`${containerId}.*Exited`))
      assert.match(await crictl.fails("rmi", names.busybox), new RegExp(`used by container ${containerId}`))
    })

    it("have their containers removed", async () => {
      const { crictl, container } = site()
      // The name is free again, and the next attempt has a log of its own.
      assert.strictEqual(await crictl.ok("rm", containerId), containerId)
      assert.match(await crictl.fails("inspect", containerId), new RegExp(`${containerId}.*not found`))
      const second = await crictl.create(podId, container("main", "echo second", { log_path: "main/1.log" }), request)
      await crictl.ok("start", second)
      await eventually(
        "it ends",
        async () => (await crictl.json("inspect", second)).status.state === "CONTAINER_EXITED"
      )
      const { status } = await crictl.json("inspect", second)
      assert.deepInclude(status, { exitCode: 0, reason: "Completed" })
      assert.strictEqual(await crictl.ok("logs", second), "second")
      await crictl.ok("rm", second)
      // By force also while it runs.
      const third = await crictl.create(
        podId,
        container("main", "exec sleep 1000", { log_path: "main/2.log" }),
        request
      )
      await crictl.ok("start", third)
      assert.match(await crictl.fails("rm", third), /running/i)
      assert.include(await crictl.ok("rm", "--force", third), third)
      assert.strictEqual(await crictl.ok("ps", "-a", "-q", "--pod", podId), "")
    })

    it("stop, and go", async () => {
      const { crictl, container } = site()
      const running = await crictl.create(podId, container("late", "sleep 1000"), request)
      await crictl.ok("start", running)
      assert.match(await crictl.fails("rmp", podId), /running|stop/i)
      assert.include(await crictl.ok("stopp", podId), podId)
      assert.deepInclude((await crictl.json("inspect", running)).status, { state: "CONTAINER_EXITED", exitCode: 137 })
      const { status } = await crictl.json("inspectp", podId)
      assert.deepStrictEqual([status.state, status.network.ip], ["SANDBOX_NOTREADY", ""])
      assert.strictEqual(await crictl.ok("pods", "-q", "--name", "life", "--state", "notready"), podId)
      await crictl.ok("stopp", podId)
      assert.match(
        await crictl.createFails(podId, container("more", "true"), request),
        new RegExp(`${podId}.*NotReady`)
      )
      assert.include(await crictl.ok("rmp", podId), podId)
      assert.match(await crictl.fails("inspectp", podId), new RegExp(`${podId}.*not found`))
      assert.match(await crictl.fails("inspect", running), new RegExp(`${running}.*not found`))
      assert.strictEqual(await crictl.ok("pods", "-q", "--name", "life"), "")
    })

    it("live side by side", async () => {
      const { crictl, pod, container } = site()
      const life = async (number: number) => {
        const request = pod(`many-${number}`)
        const id = await crictl.runp(request)
        const loop = `trap 'exit ${number}' TERM; echo ${number}; while :; do sleep 0.1; done`
        const inner = await crictl.create(id, container("main", loop), request)
        await crictl.ok("start", inner)
        const { stats } = await crictl.json("stats", "-o", "json", "--id", inner)
        const said = await crictl.exec(inner, "hostname")
        await crictl.ok("stop", "--timeout", "20", inner)
        const { exitCode } = (await crictl.json("inspect", inner)).status
        const log = await crictl.ok("logs", inner)
        await crictl.ok("stopp", id)
        await crictl.ok("rmp", id)
        return [stats.length, said, exitCode, log]
      }
      const numbers = Array.from({ length: 8 }, (_, index) => index)
      assert.deepStrictEqual(
        await Promise.all(numbers.map(life)),
        numbers.map((number) => [1, `many-${number}`, number, String(number)])
      )
    })

    it("and what is asked wrongly gets an answer that says what is wrong", async () => {
      const { crictl, pod, container } = site()
      const unknown = "0123456789abcdef"
      for (const command of ["start", "inspect", "logs"]) {
        assert.match(await crictl.fails(command, unknown), new RegExp(`container.*${unknown}.*not found`, "i"), command)
      }
      assert.match(await crictl.fails("exec", "-s", unknown, "true"), new RegExp(`${unknown}.*not found`))
      assert.match(await crictl.fails("inspectp", unknown), new RegExp(`pod sandbox.*${unknown}.*not found`, "i"))
      // Gone already: that is what was wanted.
      await crictl.ok("stop", unknown)
      await crictl.ok("stopp", unknown)

      const wrong = pod("wrong")
      assert.match(await crictl.runpFails(wrong, "--runtime", "gvisor"), /gvisor/)
      assert.match(
        await crictl.runpFails({ ...wrong, metadata: { name: "a/b", namespace: "a", uid: "b" } }),
        /metadata\.name/
      )
      assert.match(await crictl.runpFails({ ...wrong, hostname: "no_host" }), /no_host/)
      assert.match(
        await crictl.createFails(unknown, container("x", "true"), wrong),
        new RegExp(`${unknown}.*not found`)
      )
      const id = await crictl.runp(wrong)
      const fails = (patch: Request) => crictl.createFails(id, container("x", "true", patch), wrong)
      assert.match(await fails({ image: { image: "docker.io/library/missing:1" } }), /missing:1.*pull it/)
      assert.match(await fails({ image: {} }), /image/)
      assert.match(
        await fails({ mounts: [{ container_path: "/x", host_path: "relative/path" }] }),
        /relative\/path.*absolute/
      )
      const asNobody = { linux: { security_context: { run_as_username: "stranger" } } }
      assert.match(await fails(asNobody), /stranger/)
      assert.deepStrictEqual((await crictl.json("ps", "-a", "-o", "json", "--pod", id)).containers, [])
      await crictl.ok("rmp", "--force", id)
    })

    it("and what is not built says so", async () => {
      const { crictl, directory, pod, container, startOne } = site()
      const { podId, containerId } = await startOne(pod("unbuilt"), container("main", "exec sleep 1000"))
      const checkpoint = crictl.fails("checkpoint", `--export=${directory}/checkpoint.tar`, containerId)
      assert.match(await checkpoint, /Unimplemented/)
      await crictl.ok("rmp", "--force", podId)
    })

    it("and a program that is not there is named, by the runtime that looked for it", async () => {
      const { crictl, pod, container, runtime } = site()
      const request = pod("no-program")
      const podId = await crictl.runp(request)
      const missing = container("main", "", { command: ["/bin/none"] })
      assert.match(await crictl.createFails(podId, missing, request), new RegExp(`${runtime}.*/bin/none`))
      assert.strictEqual(await crictl.ok("ps", "-a", "-q", "--pod", podId), "")
      await crictl.ok("rmp", "--force", podId)
    })
  })
