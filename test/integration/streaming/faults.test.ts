/** What clients of streams do wrong, at a real daemon with real containers. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { createDeflate } from "node:zlib"
import { headerDictionary } from "../../../src/streaming/spdy/dictionary.ts"
import { ask, spdyHeaders, SpdyClient, until, WebSocketClient } from "../../streaming/clients.ts"
import { mib, StreamingSite } from "./StreamingSite.ts"

let site: StreamingSite
let containerId: string

beforeAll(async () => {
  site = new StreamingSite(87)
  await site.start()
  containerId = await site.container("sleep 100000")
}, 60_000)

afterAll(async () => {
  await site.stop()
}, 60_000)

const success = '{"status":"Success"}'

const outputs = ["error", "stdout", "stderr"]

/** Until it is true in the container. */
const eventually = async (what: string, check: () => Promise<boolean>) => {
  for (let tries = 0; tries < 200; tries++) {
    if (await check()) return
    await sleep(50)
  }
  expect.fail(`never: ${what}`)
}

const openExec = async (script: string) => await SpdyClient.open(await site.execUrl(containerId, script), outputs)

describe("clients that do not read", () => {
  it("and are killed with 100 MiB unread: the command goes on to its end, no memory is taken", async () => {
    const before = site.memory()
    const client = await openExec("head -c 104857600 /dev/zero; echo done > /tmp/exec-done")
    client.socket.pause()
    await sleep(1000)
    // It waits for its client, and so does the daemon: nothing piles up.
    expect(await site.run(containerId, "cat /tmp/exec-done 2>/dev/null")).toBe("")
    expect(site.memory() - before).toBeLessThan(64 * mib)
    client.socket.destroy()
    await eventually(
      "the command ends",
      async () => (await site.run(containerId, "cat /tmp/exec-done 2>/dev/null")) === "done"
    )
    expect(site.memory() - before).toBeLessThan(64 * mib)
  })

  it("attached to a container never hold it up", async () => {
    const script =
      "sleep 1; for i in $(seq 100); do head -c 1048576 /dev/zero; done; echo done > /tmp/written; sleep 1000"
    const writer = await site.container(script)
    const before = site.memory()
    const clients = [
      await SpdyClient.open(await site.attachUrl(writer), outputs),
      await SpdyClient.open(await site.attachUrl(writer), outputs)
    ]
    for (const { socket } of clients) socket.pause()
    const other = await WebSocketClient.open(await site.attachUrl(writer), ["v5.channel.k8s.io"])
    other.socket.pause()
    await eventually(
      "it has written all",
      async () => (await site.run(writer, "cat /tmp/written 2>/dev/null")) === "done"
    )
    expect(site.memory() - before).toBeLessThan(64 * mib)
    for (const { socket } of clients) socket.destroy()
    other.socket.terminate()
    await site.client.stopContainer({ containerId: writer, timeout: 0 })
    await site.client.removeContainer({ containerId: writer })
  })

  it("but slowly get everything all the same", async () => {
    const client = await openExec("yes 0123456789abcde | head -c 8388608; exit 4")
    const reading = setInterval(() => (client.socket.isPaused() ? client.socket.resume() : client.socket.pause()), 10)
    const status = JSON.parse(await client.status())
    clearInterval(reading)
    expect(status.details.causes[0].message).toBe("4")
    expect(client.text("stdout")).toBe("0123456789abcde\n".repeat(8_388_608 / 16))
  })
})

describe("input", () => {
  it("half-closed ends what reads it, and nothing else", async () => {
    const url = await site.execUrl(containerId, "cat; echo after; sleep 0.2; echo later", { stdin: true })
    const client = await SpdyClient.open(url, [...outputs, "stdin"])
    client.data("stdin", "input\n", true)
    expect(await client.status()).toBe(success)
    expect(client.text("stdout")).toBe("input\nafter\nlater\n")
  })

  it("that nobody reads waits, and does not keep the command from its end", async () => {
    const before = site.memory()
    const url = await site.execUrl(containerId, "sleep 1; echo end", { stdin: true })
    const client = await SpdyClient.open(url, [...outputs, "stdin"])
    const chunk = randomBytes(mib)
    for (let count = 0; count < 64; count++) client.data("stdin", chunk)
    expect(await client.status()).toBe(success)
    expect(client.text("stdout")).toBe("end\n")
    expect(site.memory() - before).toBeLessThan(64 * mib)
  })

  it("that nobody reads does not hide that its client is gone", async () => {
    const deaf = await site.container("sleep 100000", { stdin: true })
    const before = site.descriptors()
    const { url } = await site.client.attach({ containerId: deaf, stdin: true, stdout: true, stderr: true })
    const client = await SpdyClient.open(url, [...outputs, "stdin"])
    for (let count = 0; count < 4; count++) client.data("stdin", randomBytes(mib))
    await sleep(300)
    expect(site.descriptors()).toBeGreaterThan(before)
    client.socket.destroy()
    for (let tries = 0; site.descriptors() > before; tries++) {
      if (tries > 600) expect.fail("its connection is open after a minute")
      await sleep(100)
    }
    await site.client.stopContainer({ containerId: deaf, timeout: 0 })
    await site.client.removeContainer({ containerId: deaf })
  }, 90_000)

  it("of 10,000 sizes leaves the terminal with the last one", async () => {
    const script = 'until test "$(stty size)" = "24 10000"; do sleep 0.1; done; echo the last one'
    const url = await site.execUrl(containerId, script, { stdin: true, tty: true })
    const client = await SpdyClient.open(url, ["error", "stdin", "stdout", "resize"])
    for (let width = 1; width <= 10_000; width++) client.data("resize", `{"Width":${width},"Height":24}`)
    expect(await client.status()).toBe(success)
    expect(client.text("stdout")).toContain("the last one")
  })
})

describe("clients that come and go", () => {
  it("300 of them leave no descriptor behind", async () => {
    const talker = await site.container("while true; do echo tick; sleep 0.01; done")
    const visit = async () => {
      const client = await SpdyClient.open(await site.attachUrl(talker), outputs)
      await until("it hears something", () => client.text("stdout") !== "")
      client.socket.destroy()
    }
    for (let count = 0; count < 20; count++) await visit()
    await sleep(300)
    const [descriptors, memory] = [site.descriptors(), site.memory()]
    for (let count = 0; count < 280; count += 10) await Promise.all(Array.from({ length: 10 }, visit))
    await eventually("all are closed", async () => site.descriptors() <= descriptors + 2)
    expect(site.memory() - memory).toBeLessThan(64 * mib)
    await site.client.stopContainer({ containerId: talker, timeout: 0 })
    await site.client.removeContainer({ containerId: talker })
  })

  it("hang up their terminal, which ends a shell and nobody who does not want to hear of it", async () => {
    const begin = async (name: string, script: string) => {
      const whole = `echo $$ >/tmp/${name}; ${script}`
      const url = await site.execUrl(containerId, whole, { stdin: true, tty: true })
      const client = await SpdyClient.open(url, ["error", "stdin", "stdout", "resize"])
      await eventually("it runs", async () => /^\d+$/.test(await site.run(containerId, `cat /tmp/${name} 2>/dev/null`)))
      return client
    }
    const lives = async (name: string) =>
      (await site.run(containerId, `kill -0 $(cat /tmp/${name}) 2>/dev/null && echo lives`)) === "lives"
    const clients = [
      await begin("shell", "while read line; do :; done; sleep 1000"),
      await begin("program", "exec sleep 1000"),
      await begin("deaf", "trap '' HUP; sleep 3; echo over >/tmp/deaf-over")
    ]
    expect(await lives("shell")).toBe(true)
    for (const { socket } of clients) socket.destroy()
    await eventually("the shell ends", async () => !(await lives("shell")))
    await eventually("the program ends", async () => !(await lives("program")))
    expect(await lives("deaf")).toBe(true)
    await eventually(
      "it ends by itself",
      async () => (await site.run(containerId, "cat /tmp/deaf-over 2>&1")) === "over"
    )
  })

  it("and are never there leave their command running, and its scope when it ends", async () => {
    const url = await site.execUrl(containerId, "sleep 1; echo ended > /tmp/orphan", {})
    const client = await SpdyClient.open(url, outputs)
    client.socket.destroy()
    await eventually("it ends", async () => (await site.run(containerId, "cat /tmp/orphan 2>/dev/null")) === "ended")
    const waits = async () => {
      const response = await fetchWaits()
      return response.filter(({ name }) => name.includes("orphan"))
    }
    await eventually("nothing waits for it", async () => (await waits()).length === 0)
  })
})

/** GET /debug/waits on the daemon's socket. */
const fetchWaits = () =>
  new Promise<ReadonlyArray<{ readonly name: string }>>((resolve, reject) => {
    const socket = connect(site.place.socket)
    let text = ""
    socket.on("error", reject)
    socket.on("data", (data) => (text += data.toString()))
    socket.on("end", () => resolve(JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4))))
    socket.write("GET /debug/waits HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
  })

describe("tokens", () => {
  it("serve once; guesses are not found", async () => {
    const url = await site.execUrl(containerId, "echo once")
    const client = await SpdyClient.open(url, outputs)
    expect(await client.status()).toBe(success)
    expect((await ask(url, spdyHeaders("v4.channel.k8s.io"))).status).toBe(404)
    const base = url.slice(0, url.lastIndexOf("/"))
    for (let count = 0; count < 500; count++) {
      const guess = `${base}/${randomBytes(16).toString("base64url")}`
      expect((await ask(guess, spdyHeaders("v4.channel.k8s.io"))).status).toBe(404)
    }
  })

  it("are at most 1000 at a time", async () => {
    const urls: Array<string> = []
    const refused = await (async () => {
      for (let count = 0; count < 1001; count++) urls.push(await site.execUrl(containerId, "true"))
    })().catch((error: unknown) => error as { readonly code: number; readonly details: string })
    expect(refused).toMatchObject({ code: 8 })
    expect(urls).toHaveLength(1000)
    // A token that is spent makes room, even by a request that comes to nothing.
    for (const url of urls) expect((await ask(url, {})).status).toBe(400)
    const client = await SpdyClient.open(await site.execUrl(containerId, "echo again"), outputs)
    expect(await client.status()).toBe(success)
  })

  it("are never in the log", async () => {
    const url = await site.execUrl(containerId, "true")
    await ask(url, spdyHeaders("v5.channel.k8s.io"))
    expect(readFileSync(`${site.directory}/cricket.log`, "utf8")).not.toContain(url.slice(url.lastIndexOf("/") + 1))
  })
})

describe("connections", () => {
  it("whose request is not complete in time are closed", async () => {
    const { hostname, port, pathname } = new URL(await site.execUrl(containerId, "true"))
    const beginnings = ["", `POST ${pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n`]
    const sockets = beginnings.map((beginning) => {
      const socket = connect(Number(port), hostname)
      socket.on("error", () => {})
      socket.resume()
      socket.write(beginning)
      return socket
    })
    for (let tries = 0; !sockets.every(({ destroyed }) => destroyed); tries++) {
      if (tries > 300) expect.fail("they are open after 30 s")
      await sleep(100)
    }
  })
})

const closed = (socket: Socket) => until("the daemon closes the connection", () => socket.destroyed)

const upgraded = async () => {
  const { socket } = await ask(await site.execUrl(containerId, "true"), spdyHeaders("v4.channel.k8s.io"))
  socket.on("error", () => {})
  socket.resume()
  return socket
}

/** A control frame with any claims. */
const control = (type: number, length: number, payload: Uint8Array) => {
  const head = Buffer.alloc(8)
  head.writeUInt16BE(0x8003, 0)
  head.writeUInt16BE(type, 2)
  head.writeUInt32BE(length, 4)
  return Buffer.concat([head, payload])
}

const uint32 = (...values: ReadonlyArray<number>) => {
  const bytes = Buffer.alloc(values.length * 4)
  values.forEach((value, index) => bytes.writeUInt32BE(value, index * 4))
  return bytes
}

describe("bombs", () => {
  it.each([
    ["a SETTINGS frame of 2^31 entries", control(4, 4, uint32(0x8000_0000))],
    ["a SETTINGS frame of 16 MiB", control(4, 0xff_ffff, uint32(0x1f_ffff))],
    ["stream 0", control(1, 10, Buffer.concat([uint32(0, 0), Buffer.alloc(2)]))],
    ["headers of 16 MiB", control(1, 0xff_ffff, Buffer.concat([uint32(1, 0), Buffer.alloc(2)]))]
  ])("%s: the connection ends, the daemon does not", async (_, bytes) => {
    const before = site.memory()
    const socket = await upgraded()
    socket.write(bytes)
    await closed(socket)
    expect(site.memory() - before).toBeLessThan(32 * mib)
    expect(await site.run(containerId, "echo alive")).toBe("alive")
  })

  it("headers that grow a thousandfold: the connection ends, the daemon does not", async () => {
    const deflate = createDeflate({ dictionary: headerDictionary, level: 9 })
    const chunks: Array<Buffer> = []
    deflate.on("data", (chunk: Buffer) => chunks.push(chunk))
    const value = Buffer.alloc(40 * mib, "x")
    deflate.write(Buffer.concat([uint32(1, 1), Buffer.from("a"), uint32(value.length), value]))
    await new Promise<void>((resolve) => deflate.flush(() => resolve()))
    const block = Buffer.concat(chunks)
    expect(block.length).toBeLessThan(64 * 1024)
    const payload = Buffer.concat([uint32(1, 0), Buffer.alloc(2), block])
    const before = site.memory()
    const socket = await upgraded()
    socket.write(control(1, payload.length, payload))
    await closed(socket)
    expect(site.memory() - before).toBeLessThan(32 * mib)
    expect(await site.run(containerId, "echo alive")).toBe("alive")
  })
})
