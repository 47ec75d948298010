/** The daemon's streaming server with real containers and client-go as its peer. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Site } from "../faults/Site.ts"
import { buildSpdyClient } from "./spdyClient.ts"

const mib = 1024 * 1024

let site: Site
let client: string
let containerId: string

beforeAll(async () => {
  site = new Site(86)
  client = buildSpdyClient(site.directory)
  await site.prepareImage()
  await site.start()
  containerId = await site.createContainer(await site.runPod())
  await site.client.startContainer({ containerId })
}, 120_000)

afterAll(async () => {
  await site?.end()
}, 60_000)

const proc = (name: string) => `/proc/${site.daemon.process.pid}/${name}`

/** Bytes. */
const residentSet = () => 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(proc("status"), "utf8"))?.[1])

const openFiles = () => readdirSync(proc("fd")).length

const eventually = async (what: string, check: () => boolean | Promise<boolean>) => {
  for (let tries = 0; tries < 200; tries++) {
    if (await check()) return
    await sleep(100)
  }
  assert.fail(`${what}: not within 20 s`)
}

interface ExecShape {
  readonly stdin?: boolean
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly tty?: boolean
}

const urlOf = async (script: string, shape: ExecShape) => {
  const { url } = await site.client.exec({ containerId, cmd: ["sh", "-c", script], ...shape })
  return url
}

const run = async (script: string, shape: ExecShape, ...more: ReadonlyArray<string>) => {
  const streams = Object.keys(shape).join(",")
  const protocol = "v4.channel.k8s.io"
  return spawn(client, ["exec", await urlOf(script, shape), streams, protocol, ...more], { stdio: "pipe" })
}

/** What it prints, and its exit code. */
const outcome = async (child: Awaited<ReturnType<typeof run>>) => {
  let stdout = ""
  child.stdout.on("data", (data: Buffer) => (stdout += data.toString()))
  // client-go has its own opinions on what is an error.
  child.stderr.resume()
  const [code] = (await once(child, "close")) as [number | null]
  return { stdout, code }
}

describe("client-go in a container", () => {
  it("half-closes stdin: cat ends, and its output is whole", async () => {
    const child = await run("cat; exit 4", { stdin: true, stdout: true })
    child.stdin.end("to the end")
    assert.deepStrictEqual(await outcome(child), { stdout: "to the end", code: 4 })
  })

  it("resizes its terminal ten thousand times; the last size stays", async () => {
    // stty complains of a terminal that has no size yet.
    const script = 'while test "$(stty size 2>/dev/null)" != "24 10000"; do sleep 0.1; done; stty size'
    const child = await run(script, { stdin: true, stdout: true, tty: true }, "10000")
    assert.deepStrictEqual(await outcome(child), { stdout: "24 10000\r\n", code: 0 })
  })

  it("sends 100 MiB to a command that reads nothing: little is kept, and the command ends when it will", async () => {
    const before = residentSet()
    const child = await run("sleep 2; echo over", { stdin: true, stdout: true })
    const chunk = Buffer.alloc(mib)
    child.stdin.on("error", () => {})
    for (let index = 0; index < 100; index++) child.stdin.write(chunk)
    const ended = outcome(child)
    await sleep(1500)
    assert.isBelow(residentSet() - before, 50 * mib)
    assert.deepStrictEqual(await ended, { stdout: "over\n", code: 0 })
  })

  it("does not mind being asked whether it is there, while its input waits for a command that comes to it late", async () => {
    const child = await run("sleep 6; wc -c; echo late >&2; exit 5", { stdin: true, stdout: true, stderr: true })
    child.stdin.end(Buffer.alloc(3 * mib))
    assert.deepStrictEqual(await outcome(child), { stdout: `${3 * mib}\n`, code: 5 })
  })

  it("comes a hundred times, four at a time, and leaves no file open", async () => {
    const once = async () => {
      const child = await run("cat", { stdin: true, stdout: true, stderr: true })
      child.stdin.end("x")
      assert.deepStrictEqual(await outcome(child), { stdout: "x", code: 0 })
    }
    await once()
    const before = openFiles()
    for (let round = 0; round < 25; round++) await Promise.all([once(), once(), once(), once()])
    await eventually("as many files as before", () => openFiles() <= before)
  }, 120_000)
})
