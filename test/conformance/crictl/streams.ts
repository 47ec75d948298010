/** `crictl exec`, `attach` and `port-forward`, over SPDY and over WebSocket. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { connect } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import { crictlPath } from "../../../scripts/lib/goTools.mjs"
import { eventually, names, type Site } from "./support/Site.ts"

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex")

/** Connections to the sockets of the containers' monitors, as the kernel lists them: connected ones are of state 03. */
const attachments = () => readFileSync("/proc/net/unix", "utf8").match(/ 03 +\d+ \S*\/attach$/gm)?.length ?? 0

/** A running crictl and what it has said. */
interface Client {
  readonly child: ChildProcess
  readonly stdout: () => string
  readonly stderr: () => string
  /** Its exit code. */
  readonly end: () => Promise<number | null>
}

export const streamsOfContainers = (site: () => Site, firstPort: number) => {
  const clients: Array<ChildProcess> = []
  afterEach(() => {
    for (const client of clients.splice(0)) client.kill("SIGKILL")
  })

  const follow = (child: ChildProcess): Client => {
    clients.push(child)
    const text = { stdout: "", stderr: "" }
    child.stdout?.on("data", (chunk: Buffer) => (text.stdout += chunk.toString()))
    child.stderr?.on("data", (chunk: Buffer) => (text.stderr += chunk.toString()))
    child.stdin?.on("error", () => {})
    const closed = once(child, "close")
    const end = async () => {
      const [code] = await closed
      return code as number | null
    }
    return { child, stdout: () => text.stdout, stderr: () => text.stderr, end }
  }

  const start = (...parameters: ReadonlyArray<string>): Client => follow(site().crictl.start(...parameters))

  /** crictl at a terminal of 100 columns and 30 rows, which a script prepares and may change. */
  const startAtTerminal = (script: string, ...parameters: ReadonlyArray<string>): Client => {
    const words = [crictlPath, "--config", `${site().directory}/crictl.yaml`, ...parameters]
    const command = words.map((word) => `'${word}'`).join(" ")
    const line = `stty cols 100 rows 30 -echo; ${script} ${command}`
    return follow(spawn("script", ["--quiet", "--return", "--flush", "--command", line, "/dev/null"]))
  }

  const running = async (name: string, script = "exec sleep 1000", patch = {}) => {
    const { pod, container, startOne } = site()
    return await startOne(pod(name), container("main", script, patch))
  }

  for (const transport of ["spdy", "websocket"] as const) {
    const over = (command: string, ...parameters: ReadonlyArray<string>) => [
      command,
      "--transport",
      transport,
      ...parameters
    ]

    describe(`streams over ${transport}`, () => {
      beforeAll(async () => {
        await site().crictl.ok("pull", names.busybox)
        await site().crictl.ok("pull", names.nginx)
      })

      it("exec gives output, errors and exit code", async () => {
        const { crictl } = site()
        const { podId, containerId } = await running(`exec-${transport}`)
        const script = "echo out; echo err >&2; exit 3"
        const failed = await crictl.run(...over("exec", containerId, "sh", "-c", script))
        assert.strictEqual(failed.stdout, "out\n")
        assert.match(failed.stderr, /^err\n.*command terminated with exit code 3/)
        assert.strictEqual(await crictl.ok(...over("exec", containerId, "echo", "hello")), "hello")
        assert.match(await crictl.fails(...over("exec", containerId, "no-such-program")), /no-such-program.* not found/)
        assert.match(await crictl.fails(...over("exec", containerId, "sh", "-c", "kill -KILL $$")), /exit code 137/)
        const large = await crictl.ok(...over("exec", containerId, "sh", "-c", "yes | head -c 20000000"))
        assert.strictEqual(large, "y\n".repeat(10_000_000).slice(0, -1))
        await crictl.ok("rmp", "--force", podId)
      })

      it("exec -i: input reaches its end, also when there is much of it", async () => {
        const { crictl } = site()
        const { podId, containerId } = await running(`input-${transport}`)
        const cat = start(...over("exec", "-i", containerId, "cat"))
        cat.child.stdin?.end("one\ntwo\n")
        assert.strictEqual(await cat.end(), 0)
        assert.strictEqual(cat.stdout(), "one\ntwo\n")
        const data = randomBytes(20_000_000)
        const sum = start(...over("exec", "-i", containerId, "sha256sum"))
        sum.child.stdin?.end(data)
        assert.strictEqual(await sum.end(), 0, sum.stderr())
        assert.strictEqual(sum.stdout(), `${sha256(data)}  -\n`)
        // Who reads only the beginning is done when it is.
        const head = start(...over("exec", "-i", containerId, "head", "-c", "3"))
        head.child.stdin?.write("y".repeat(5_000_000))
        assert.strictEqual(await head.end(), 0, head.stderr())
        assert.strictEqual(head.stdout(), "yyy")
        await crictl.ok("rmp", "--force", podId)
      })

      it("exec -it: a terminal with the client's size, which follows it", async () => {
        const { crictl } = site()
        const { podId, containerId } = await running(`terminal-${transport}`)
        const script =
          'tty; echo "$TERM"; stty size; while test "$(stty size)" = "30 100"; do sleep 0.1; done; stty size; exit 7'
        const client = startAtTerminal(
          "(sleep 2; stty cols 132 rows 50 < /dev/tty) &",
          ...over("exec", "-i", "-t", containerId, "sh", "-c", script.replaceAll("'", ""))
        )
        assert.strictEqual(await client.end(), 1)
        assert.match(client.stdout(), /^\/dev\/pts\/0\r+\nxterm\r+\n30 100\r+\n50 132\r+\n[^]*exit code 7/)
        await crictl.ok("rmp", "--force", podId)
      })

      it("exec is refused where nothing runs", async () => {
        const { crictl } = site()
        const { podId, containerId } = await running(`ended-${transport}`)
        await crictl.ok("stop", "--timeout", "0", containerId)
        assert.match(await crictl.fails(...over("exec", containerId, "true")), /cannot exec in container .*Exited/)
        assert.match(await crictl.fails(...over("exec", "none", "true")), /code = NotFound/)
        assert.match(await crictl.fails(...over("attach", containerId)), /cannot attach to container .*Exited/)
        await crictl.ok("rmp", "--force", podId)
        assert.match(await crictl.fails(...over("port-forward", podId, "80")), /code = NotFound/)
      })

      it("attach is at the container's own streams; its input ends with the client that had it", async () => {
        const { crictl } = site()
        const shell = { command: ["sh"], stdin: true, stdin_once: true }
        const { podId, containerId } = await running(`attach-${transport}`, "", shell)
        const client = start(...over("attach", "-i", containerId))
        client.child.stdin?.write("echo to the client; echo and an error >&2\n")
        await eventually("it answers", () => client.stdout() === "to the client\n")
        await eventually("and errs", () => client.stderr() === "and an error\n")
        client.child.stdin?.end("exit 5\n")
        assert.strictEqual(await client.end(), 0)
        const exited = await eventually("it ends", async () => {
          const { status } = await crictl.json("inspect", containerId)
          return status.state === "CONTAINER_EXITED" ? status : undefined
        })
        assert.strictEqual(exited.exitCode, 5)
        assert.strictEqual((await crictl.run("logs", containerId)).stdout, "to the client\n")
        await crictl.ok("rmp", "--force", podId)
      })

      it("attach shows what comes from now on, to each client; leaving changes nothing", async () => {
        const { crictl } = site()
        const script = "while true; do i=$((i+1)); echo line $i.; sleep 0.05; done"
        const { podId, containerId } = await running(`watch-${transport}`, script)
        await eventually("it has written", async () => (await crictl.ok("logs", containerId)) !== "")
        const both = [start(...over("attach", containerId)), start(...over("attach", containerId))]
        for (const client of both) {
          await eventually("it shows something", () => client.stdout().split("\n").length > 5)
          assert.notInclude(client.stdout(), "line 1.")
        }
        for (const { child } of both) child.kill("SIGKILL")
        await sleep(200)
        assert.strictEqual((await crictl.json("inspect", containerId)).status.state, "CONTAINER_RUNNING")
        const late = start(...over("attach", containerId))
        await eventually("another one is served", () => late.stdout() !== "")
        await crictl.ok("stop", "--timeout", "0", containerId)
        assert.strictEqual(await late.end(), 0)
        await crictl.ok("rmp", "--force", podId)
      })

      it("attach before the start misses nothing", async () => {
        const { crictl, pod, container } = site()
        const request = pod(`early-${transport}`)
        const podId = await crictl.runp(request)
        const containerId = await crictl.create(podId, container("main", "echo first; exec sleep 1000"), request)
        const before = attachments()
        const client = start(...over("attach", containerId))
        await eventually("it is attached", () => attachments() > before)
        await crictl.ok("start", containerId)
        await eventually("it shows the first line", () => client.stdout() === "first\n")
        await crictl.ok("rmp", "--force", podId)
      })

      it("attach -it: a container's terminal", async () => {
        const { crictl } = site()
        const shell = { command: ["sh"], stdin: true, tty: true }
        const { podId, containerId } = await running(`console-${transport}`, "", shell)
        const client = startAtTerminal("", ...over("attach", "-i", "-t", containerId))
        client.child.stdin?.write("stty size; echo $((6*7))\n")
        await eventually("it answers", () => /\r\n30 100\r\n42\r\n/.test(client.stdout()))
        client.child.stdin?.write("exit\n")
        assert.strictEqual(await client.end(), 0)
        await crictl.ok("rmp", "--force", podId)
        const without = await running(`none-${transport}`)
        const refused = startAtTerminal("", ...over("attach", "-i", "-t", without.containerId))
        assert.strictEqual(await refused.end(), 1)
        assert.match(refused.stdout(), /was made without a terminal/)
        await crictl.ok("rmp", "--force", without.podId)
      })

      it("port-forward carries connections, many at a time, and says which port nobody answers on", async () => {
        const { crictl, pod, container, startOne, page } = site()
        const nginx = { image: { image: names.nginx, user_specified_image: names.nginx }, command: ["nginx"] }
        const { podId } = await startOne(pod(`forward-${transport}`), container("web", "", nginx))
        const port = firstPort + (transport === "spdy" ? 0 : 10)
        const client = start(...over("port-forward", podId, `${port}:8080`, `${port + 1}:81`))
        await eventually("it listens", () => client.stdout().includes(`127.0.0.1:${port + 1}`))
        const fetchPage = async () => {
          const response = await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5000) })
          return await response.text()
        }
        await eventually("nginx answers", fetchPage)
        const pages = await Promise.all(Array.from({ length: 20 }, fetchPage))
        assert.deepStrictEqual(
          pages,
          Array.from({ length: 20 }, () => page)
        )
        const socket = connect(port + 1, "127.0.0.1")
        socket.on("error", () => {})
        await once(socket, "close")
        await eventually("it says why", () => /81.*connection refused/.test(client.stderr()))
        await crictl.ok("rmp", "--force", podId)
      })
    })
  }
}
