/** What crictl offers beyond one pod's life: it follows and watches, runs, acts on everything; and what it says of wrong ids. */
import type { ChildProcess } from "node:child_process"
import { readdirSync } from "node:fs"
import { afterEach, assert, describe, it } from "vitest"
import { credentials, eventually, names, type Site } from "./support/Site.ts"
import { labelsOf, linesOf, templateOf, twoPods } from "./support/twoPods.ts"

const nobody = "no-such-id"

export const commandsOfClient = (site: () => Site) =>
  describe("commands", () => {
    const pods = twoPods(site)
    const lines = (...parameters: ReadonlyArray<string>) => linesOf(site(), ...parameters)
    const template = (command: string, expression: string, ...parameters: ReadonlyArray<string>) =>
      templateOf(site(), command, expression, ...parameters)

    const clients: Array<ChildProcess> = []
    afterEach(() => {
      for (const client of clients.splice(0)) client.kill("SIGKILL")
    })

    /** A command that runs until it is ended; answers what it has said. */
    const following = (...parameters: ReadonlyArray<string>) => {
      const child = site().crictl.start(...parameters)
      clients.push(child)
      let text = ""
      child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()))
      return () => text
    }

    it("logs, from the end, from a time, up to a size, with times, as they come", async () => {
      const { web } = pods()
      const { crictl } = site()
      assert.deepStrictEqual(await lines("logs", "--tail", "2", web), ["line 5", "line 6"])
      assert.deepStrictEqual(await lines("logs", "--limit-bytes", "9", web), ["line 1", "li"])
      assert.deepStrictEqual(await lines("logs", "--since", "1h", "--tail", "1", web), ["line 6"])
      assert.deepStrictEqual(await lines("logs", "--since", "2100-01-01T00:00:00Z", web), [])
      assert.match(
        await crictl.ok("logs", "--timestamps", web),
        /^20\d\d-\d\d-\d\dT[\d:.]{15,}(Z|[+-]\d\d:\d\d) line 1$/m
      )
      const follower = following("logs", "--follow", "--tail", "1", web)
      await eventually("it shows the end", () => follower() === "line 6\n")
      await crictl.exec(web, "echo later > /proc/1/fd/1")
      await eventually("it shows what comes", () => follower() === "line 6\nlater\n")
    })

    it("logs of the attempt before", async () => {
      const { front, frontRequest } = pods()
      const { crictl, container } = site()
      const attempt = (number: number) => ({
        metadata: { name: "again", attempt: number },
        log_path: `again/${number}.log`,
        labels: { ...labelsOf("front", "default"), "io.kubernetes.container.name": "again" }
      })
      const ids: Array<string> = []
      for (const number of [0, 1]) {
        const id = await crictl.create(
          front,
          container("again", `echo attempt ${number}; sleep 0.3`, attempt(number)),
          frontRequest
        )
        await crictl.ok("start", id)
        // Following ends with the container.
        assert.strictEqual(await crictl.ok("logs", "--follow", id), `attempt ${number}`)
        ids.push(id)
      }
      const [before = "", last = ""] = ids
      assert.strictEqual(await crictl.ok("logs", last), "attempt 1")
      assert.strictEqual(await crictl.ok("logs", "--previous", last), "attempt 0")
      // The log of a removed container goes with it, unless it is to stay.
      await crictl.ok("rm", "--keep-logs", before)
      await crictl.ok("rm", last)
      assert.deepStrictEqual(readdirSync(`${site().place.logs}/front/again`), ["0.log"])
    })

    it("statistics that are watched, and in each format", async () => {
      const { front, web } = pods()
      const { crictl } = site()
      const watched = [
        [following("stats", "--watch", "--id", web), web],
        [following("statsp", "--watch", "--id", front), front],
        [following("metricsp", "--watch"), front]
      ] as const
      for (const [text, id] of watched) await eventually("it is shown", () => text().includes(id.slice(0, 13)))
      assert.match(await crictl.ok("stats", "-o", "yaml", "--id", web), new RegExp(`^ +id: ${web}$`, "m"))
      assert.match(await crictl.ok("statsp", "-o", "yaml", "--id", front), new RegExp(`^ +id: ${front}$`, "m"))
      assert.match(await crictl.ok("metricdescs", "-o", "yaml"), /^ +name: container_memory_rss$/m)
      assert.match(await crictl.ok("metricsp", "-o", "yaml"), new RegExp(`^ +podSandboxId: ${front}$`, "m"))
      assert.match(
        await crictl.ok("imagefsinfo", "-o", "table"),
        new RegExp(`^Mountpoint\\[0\\]: ${site().place.root}`, "m")
      )
      assert.match(await crictl.ok("imagefsinfo", "-o", "yaml"), /^ +usedBytes:$/m)
    })

    it("info, short, in each format, and the configuration of crictl itself", async () => {
      const { crictl, runtime } = site()
      assert.isUndefined((await crictl.json("info", "-q")).config)
      assert.strictEqual(await template("info", "{{.config.crio.runtime.default_runtime}}"), runtime)
      assert.match(await crictl.ok("info", "-o", "yaml", "-q"), /^runtimeHandlers:$/m)
      assert.strictEqual(await crictl.ok("config", "--get", "timeout"), "60")
      assert.match(await crictl.ok("completion", "bash"), /^_crictl\(\)/)
      assert.match((await crictl.run("--debug", "version")).stderr, /runtime_name:\\?"cricket/)
    })

    it("events in other formats", async () => {
      const { front, frontRequest } = pods()
      const { crictl, container } = site()
      const yaml = following("events", "-o", "yaml")
      const kinds = following("events", "-o", "go-template", "--template", "{{.containerEventType}}")
      await eventually("both listen", async () => {
        const id = await crictl.create(front, container("heard", "true"), frontRequest)
        await crictl.ok("rm", id)
        return yaml() !== "" && kinds() !== ""
      })
      assert.match(yaml(), /^containerEventType: CONTAINER_(CREATED|DELETED)_EVENT$/m)
      assert.match(kinds(), /^CONTAINER_(CREATED|DELETED)_EVENT$/m)
    })

    it("pull, with each way to say who asks", async () => {
      const { crictl, directory, secret, images } = site()
      const { username, password } = credentials
      const both = `${username}:${password}`
      for (const options of [
        ["--creds", both],
        ["--auth", Buffer.from(both).toString("base64")]
      ]) {
        assert.include(await crictl.ok("pull", ...options, secret), images.busybox.id)
      }
      assert.match(await crictl.fails("pull", "--auth", "!!!", secret), /code = InvalidArgument.*auth\.auth/)
      assert.match(await crictl.fails("pull", "--pull-timeout", "1ns", names.busybox), /code = DeadlineExceeded/)
      await crictl.ok("pull", "--annotation", "a=b", names.busybox)
      await crictl.ok("pull", "--pod-config", `${directory}/request-0.json`, names.busybox)
    })

    it("run makes a pod and a container in it, of an image that it pulls", async () => {
      const { crictl, pod, container, secret } = site()
      const image = { image: { image: secret }, labels: labelsOf("run", "default") }
      const options = ["--creds", `${credentials.username}:${credentials.password}`]
      const id = await crictl.runContainer(container("all", "echo it runs", image), pod("run"), ...options)
      const written = await eventually("it writes", async () => (await crictl.ok("logs", id)) || undefined)
      assert.strictEqual(written, "it runs")
      const podId = await crictl.ok("pods", "-q", "--name", "run")
      assert.strictEqual(await crictl.ok("ps", "-a", "-q", "--pod", podId), id)
      await crictl.ok("rmp", "--force", podId)
      const absent = container("all", "true", { image: { image: "quay.io/example/none:1" } })
      assert.match(await crictl.runContainerFails(absent, pod("run-absent")), /code = NotFound.*none:1/)
      // crictl makes the pod first, and leaves it.
      const left = await crictl.ok("pods", "-q", "--name", "run-absent")
      assert.strictEqual(await crictl.ok("ps", "-a", "-q", "--pod", left), "")
      await crictl.ok("rmp", "--force", left)
    })

    it("wrong ids: NotFound with the id, and success where gone is what is wanted", async () => {
      const { web } = pods()
      const { crictl, directory } = site()
      const container = new RegExp(`code = NotFound desc = container .*${nobody}.* not found`)
      const pod = new RegExp(`code = NotFound desc = pod sandbox .*${nobody}.* not found`)
      const refusals: ReadonlyArray<readonly [RegExp, ...ReadonlyArray<string>]> = [
        [container, "inspect", nobody],
        [container, "start", nobody],
        [container, "logs", nobody],
        [container, "logs", "--reopen", nobody],
        [container, "exec", nobody, "true"],
        [container, "exec", "-r", "websocket", nobody, "true"],
        [container, "exec", "-s", nobody, "true"],
        [container, "attach", nobody],
        [container, "attach", "-r", "websocket", nobody],
        [container, "update", "--cpu-share", "100", nobody],
        [container, "rm", nobody],
        [pod, "inspectp", nobody],
        [pod, "rmp", nobody],
        [pod, "port-forward", nobody, "80"],
        [pod, "port-forward", "-r", "websocket", nobody, "80"],
        [/no such image/, "inspecti", nobody],
        [/no such image/, "rmi", nobody],
        [/code = Unimplemented/, "checkpoint", `--export=${directory}/none.tar`, web]
      ]
      for (const [pattern, ...parameters] of refusals) {
        assert.match(await crictl.fails(...parameters), pattern, parameters.join(" "))
      }
      assert.match(await crictl.fails("start", ""), /ID cannot be empty/)
      assert.strictEqual(await crictl.ok("stop", nobody), nobody)
      assert.include(await crictl.ok("stopp", nobody), nobody)
      for (const command of ["stats", "statsp"]) {
        assert.lengthOf((await crictl.ok(command, "--id", nobody)).split("\n"), 1, command)
      }
    })

    it("stop, rm, rmp and rmi of all that there is; what is pinned is pruned by nobody", async () => {
      const { web, worker } = pods()
      const { crictl, images } = site()
      assert.sameMembers(await lines("stop", "--timeout", "0", "--all"), [web, worker])
      assert.match(await crictl.fails("rmp", "--all"), /is running, please stop it first/)
      await crictl.ok("rm", "--all")
      assert.deepStrictEqual(await lines("ps", "-a", "-q"), [])
      const pruned = await crictl.ok("rmi", "--prune")
      assert.include(pruned, `Deleted: ${names.app}`)
      const { images: left } = await crictl.json("images", "-o", "json")
      assert.isTrue(left.every(({ pinned }: { readonly pinned: boolean }) => pinned))
      assert.include(await lines("images", "-q"), images.nginx.id)
      await crictl.ok("rmp", "--force", "--all")
      assert.deepStrictEqual(await lines("pods", "-q"), [])
      assert.include(await crictl.ok("rmi", "--all"), `Deleted: ${names.nginx}`)
      assert.deepStrictEqual(await lines("images", "-q"), [])
    })
  })
