/** The streaming server as a part of the daemon: its configuration, certificates and end, with the real client. */
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { connect } from "node:tls"
import { ContainerState } from "../../../src/gen/runtime/v1/api.ts"
import { type Authority, makeAuthority } from "../../streaming/certificates.ts"
import { SpdyClient, until } from "../../streaming/clients.ts"
import { StreamingSite } from "./StreamingSite.ts"

const outputs = ["error", "stdout", "stderr"]

describe("TLS", () => {
  let site: StreamingSite
  let containerId: string
  let authority: Authority
  let work: string

  beforeAll(async () => {
    work = mkdtempSync(`${tmpdir()}/cricket-tls-`)
    authority = makeAuthority(work, "authority")
    site = new StreamingSite(85, (directory) => [
      "--stream-enable-tls",
      `--stream-tls-cert=${directory}/stream.crt`,
      `--stream-tls-key=${directory}/stream.key`,
      `--stream-tls-ca=${directory}/ca.crt`,
      "--stream-port=28471",
      "--tls-min-version=VersionTLS13"
    ])
    put("ca.crt", authority.certificate)
    install("one")
    await site.start()
    containerId = await site.container("sleep 100000")
    for (const [name, issuer] of [
      ["client", authority],
      ["stranger", makeAuthority(work, "others")]
    ] as const) {
      const { certificate, key } = issuer.issue(name)
      put(`${name}.crt`, certificate)
      put(`${name}.key`, key)
    }
  }, 60_000)

  afterAll(async () => {
    await site.stop()
    rmSync(work, { recursive: true })
  }, 60_000)

  const put = (name: string, text: string) => {
    const path = `${site.directory}/${name}`
    writeFileSync(`${path}.new`, text)
    renameSync(`${path}.new`, path)
  }

  const install = (name: string) => {
    const { certificate, key } = authority.issue(name)
    put("stream.crt", certificate)
    put("stream.key", key)
  }

  const as = (name: string) => {
    const below = (file: string) => `${site.directory}/${file}`
    return ["--tls-ca", below("ca.crt"), "--tls-cert", below(`${name}.crt`), "--tls-key", below(`${name}.key`)]
  }

  /** The server's name in its certificate. */
  const served = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect({ host: "127.0.0.1", port: 28_471, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
      socket.on("error", reject)
    })

  it.each(["spdy", "websocket"])("crictl streams over it by %s, with a certificate of its own", async (transport) => {
    const over = ["exec", "--transport", transport]
    const { url } = await site.client.exec({ containerId, cmd: ["true"], stdout: true })
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:28471\/exec\//)
    expect(site.crictl(...over, ...as("client"), containerId, "echo", "private")).toBe("private\n")
    expect(() => site.crictl(...over, ...as("stranger"), containerId, "true")).toThrow("execing command in container")
    expect(() => site.crictl(...over, containerId, "true")).toThrow("certificate required")
  })

  it("new certificates are taken without a restart", async () => {
    expect(await served()).toBe("one")
    install("two")
    for (let tries = 0; (await served()) !== "two"; tries++) {
      if (tries > 100) expect.fail("the new certificate is not used")
      await sleep(50)
    }
    expect(site.crictl("exec", ...as("client"), containerId, "echo", "again")).toBe("again\n")
    expect(readFileSync(`${site.directory}/cricket.log`, "utf8")).toContain("uses the new certificates")
  })
})

describe("the daemon", () => {
  let site: StreamingSite
  let containerId: string

  beforeAll(async () => {
    site = new StreamingSite(84, () => ["--stream-address=::1", "--stream-idle-timeout=2s"])
    await site.start()
    containerId = await site.container("sleep 100000")
  }, 60_000)

  afterAll(async () => {
    await site.stop()
  }, 60_000)

  it("listens where it is told to, cuts who is silent for too long, and lets the command run on", async () => {
    const url = await site.execUrl(containerId, "sleep 4; echo ran on > /tmp/silent")
    expect(url).toMatch(/^http:\/\/\[::1\]:\d+\/exec\//)
    const client = await SpdyClient.open(url, outputs)
    await until("it is cut", () => client.closed)
    for (let tries = 0; (await site.run(containerId, "cat /tmp/silent 2>/dev/null")) !== "ran on"; tries++) {
      if (tries > 100) expect.fail("the command did not run on")
      await sleep(100)
    }
  })

  it("ends with open streams, which end with it; the container goes on", async () => {
    const exec = await SpdyClient.open(await site.execUrl(containerId, "sleep 1000"), outputs)
    const attached = await SpdyClient.open(await site.attachUrl(containerId), outputs)
    expect(await site.daemon.stop()).toBe(0)
    await until("the streams end", () => exec.closed && attached.closed)
    await site.restart()
    const { status } = await site.client.containerStatus({ containerId })
    expect(status?.state).toBe(ContainerState.CONTAINER_RUNNING)
    // What was executed is gone with its client.
    expect(await site.run(containerId, "ps | grep -c 'sleep 100[0]$'")).toBe("0")
    const again = await SpdyClient.open(await site.execUrl(containerId, "echo again"), outputs)
    expect(JSON.parse(await again.status())).toEqual({ status: "Success" })
  })
})
