/** A pod's host ports on a dual-stack network that forwards none by itself, from RunPodSandbox to after the daemon's death. */
import { afterAll, beforeAll, expect, it } from "vitest"
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { setTimeout as sleep } from "node:timers/promises"
import { NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import { type Place, preparePlace, type RunningDaemon, startDaemon } from "../../../scripts/lib/daemon.ts"
import { differences, hostState } from "../../../scripts/lib/hostState.mjs"
import { importBusybox } from "../../../scripts/lib/importImage.ts"

const image = "docker.io/library/busybox:latest"
const node = { v4: "192.0.2.77", v6: "2001:db8:77::1" }
const port = 28_977

const directory = mkdtempSync(`${tmpdir()}/cricket-ports-`)
let place: Place
let daemon: RunningDaemon

const ip = (...parameters: ReadonlyArray<string>) => execFileSync("ip", parameters, { encoding: "utf8" })

beforeAll(async () => {
  place = preparePlace({ directory, runtime: "crun", network: 77 })
  // As CRI-O's own example has it: a bridge, and nothing that forwards ports.
  writeFileSync(
    `${directory}/cni/10-pods.conflist`,
    JSON.stringify({
      cniVersion: "1.0.0",
      name: "pods77",
      plugins: [
        {
          type: "bridge",
          bridge: place.bridge,
          isGateway: true,
          ipMasq: true,
          hairpinMode: true,
          ipam: {
            type: "host-local",
            dataDir: `${directory}/leases`,
            ranges: [[{ subnet: "10.213.77.0/24" }], [{ subnet: "fd00:213:77::/64" }]],
            routes: [{ dst: "0.0.0.0/0" }, { dst: "::/0" }]
          }
        }
      ]
    })
  )
  ip("link", "add", "node77", "type", "veth", "peer", "name", "wire77")
  for (const link of ["node77", "wire77"]) ip("link", "set", link, "up")
  ip("address", "add", `${node.v4}/24`, "dev", "node77")
  ip("address", "add", `${node.v6}/64`, "dev", "node77", "nodad")
  await importBusybox(place, { name: image, page: "hello\n" })
  daemon = await startDaemon(place)
}, 60_000)

afterAll(async () => {
  await daemon?.stop()
  ip("link", "delete", "node77")
  rmSync(directory, { recursive: true, force: true })
}, 60_000)

const serve = async (uid: string) => {
  const { client } = daemon
  const logDirectory = `${place.logs}/${uid}`
  mkdirSync(logDirectory, { recursive: true })
  const linux = { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } }
  const { podSandboxId } = await client.runPodSandbox({
    config: {
      metadata: { name: "web", namespace: "default", uid, attempt: 0 },
      hostname: "web",
      logDirectory,
      portMappings: [{ hostPort: port, containerPort: 8080, protocol: 0 }],
      linux
    }
  })
  const { containerId } = await client.createContainer({
    podSandboxId,
    config: {
      metadata: { name: "main", attempt: 0 },
      image: { image },
      command: ["httpd", "-f", "-p", "8080", "-h", "/www"],
      logPath: "main.log",
      linux
    }
  })
  await client.startContainer({ containerId })
  return podSandboxId
}

const answer = async (host: string): Promise<string> => {
  try {
    const response = await fetch(`http://${host}:${port}/`, { signal: AbortSignal.timeout(1000) })
    return (await response.text()).trim()
  } catch {
    return "nobody"
  }
}

const addresses = ["127.0.0.1", node.v4, `[${node.v6}]`]

/** httpd takes a moment to listen, and a bridge's first port to have its IPv6 address (RFC 4862). */
const answers = async (wanted: string) => {
  let seen: ReadonlyArray<string> = []
  for (const until = Date.now() + 15_000; Date.now() < until; await sleep(200)) {
    seen = await Promise.all(addresses.map(answer))
    if (seen.every((text) => text === wanted)) break
  }
  return seen
}

it("they answer on every address of the node, outlive the daemon, and go with the pod", async () => {
  // What the plugins keep for good belongs to the host from then on.
  await daemon.client.removePodSandbox({ podSandboxId: await serve("first") })
  const before = hostState()

  const podSandboxId = await serve("second")
  const { status } = await daemon.client.podSandboxStatus({ podSandboxId })
  expect(status?.network?.ip).toMatch(/^10\.213\.77\./)
  expect(status?.network?.additionalIps.map(({ ip: address }) => address)).toEqual([
    expect.stringMatching(/^fd00:213:77::/)
  ])
  expect(await answers("hello")).toEqual(["hello", "hello", "hello"])

  await daemon.stop("SIGKILL")
  expect(await answers("hello")).toEqual(["hello", "hello", "hello"])
  daemon = await startDaemon(place)
  await daemon.client.stopPodSandbox({ podSandboxId })
  expect(await Promise.all(addresses.map(answer))).toEqual(["nobody", "nobody", "nobody"])
  await daemon.client.removePodSandbox({ podSandboxId })
  // Of processes and cgroups others have theirs on this machine.
  const left = differences(before, hostState()).filter((line: string) => /firewall|link|mount|network/.test(line))
  expect(left).toEqual([])
}, 90_000)
