/** Traffic between pods, from the host, through a host port; pods on the host's own network. */
import { createServer } from "node:http"
import { readFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { assert, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

const nginx = { image: { image: names.nginx, user_specified_image: names.nginx }, command: ["nginx"] }

const fetchText = async (url: string): Promise<string> => {
  const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
  return `${response.status} ${await response.text()}`
}

/** Names, sorted. What /sys shows is the network in which it was mounted. */
const interfaces = (): string =>
  Array.from(readFileSync("/proc/net/dev", "utf8").matchAll(/^ *(\S+):/gm), ([, name]) => name)
    .sort()
    .join("\n")

export const networkOfPods = (site: () => Site) =>
  describe("the network", () => {
    const server = async (name: string, patch: Request = {}) => {
      const { pod, container, startOne, address } = site()
      const made = await startOne(pod(name, patch), container("web", "", nginx))
      return { ...made, ip: await address(made.podId) }
    }

    it("carries traffic from the host to a pod, between pods, and inside a pod", async () => {
      const { crictl, pod, container, startOne, address, page } = site()
      const web = await server("web")
      assert.strictEqual(await eventually("nginx answers", () => fetchText(`http://${web.ip}:8080/`)), `200 ${page}`)
      const client = await startOne(pod("client"), container("main", "exec sleep 1000"))
      const clientIp = await address(client.podId)
      assert.notStrictEqual(clientIp, web.ip)
      assert.strictEqual(await crictl.exec(client.containerId, `wget -q -O - http://${web.ip}:8080/`), page.trim())
      // Pods see each other's own addresses.
      assert.strictEqual(await crictl.exec(client.containerId, `wget -q -O - http://${web.ip}:8080/whoami`), clientIp)
      assert.strictEqual(await crictl.exec(web.containerId, "wget -q -O - http://127.0.0.1:8080/"), page.trim())
      assert.match(await crictl.exec(client.containerId, "ip addr show eth0"), new RegExp(`inet ${clientIp}/24`))

      // nginx stops gracefully by its image's SIGQUIT.
      await crictl.ok("stop", "--timeout", "20", web.containerId)
      assert.strictEqual((await crictl.json("inspect", web.containerId)).status.exitCode, 0)
      assert.match((await crictl.run("logs", web.containerId)).stdout, /GET \/whoami/)
      await crictl.ok("rmp", "--force", web.podId, client.podId)
    })

    it("carries traffic from a pod to the host", async () => {
      const { crictl, pod, container, startOne, place } = site()
      const { podId, containerId } = await startOne(pod("outward"), container("main", "exec sleep 1000"))
      const gateway = networkInterfaces()[place.bridge]?.find(({ family }) => family === "IPv4")?.address
      assert.isDefined(gateway)
      const host = createServer((_, response) => response.end("host speaks"))
      await new Promise<void>((resolve) => host.listen(27_123, gateway, resolve))
      try {
        assert.strictEqual(await crictl.exec(containerId, `wget -q -O - http://${gateway}:27123/`), "host speaks")
      } finally {
        host.close()
      }
      await crictl.ok("rmp", "--force", podId)
    })

    it("maps host ports, and takes them back", async () => {
      const { crictl, place, page } = site()
      const port = 28_080
      const { podId } = await server("port", {
        port_mappings: [{ host_port: port, container_port: 8080, protocol: 0 }]
      })
      const gateway = networkInterfaces()[place.bridge]?.find(({ family }) => family === "IPv4")?.address
      for (const host of [gateway, "127.0.0.1"]) {
        assert.strictEqual(
          await eventually(`${host} answers`, () => fetchText(`http://${host}:${port}/`)),
          `200 ${page}`
        )
      }
      await crictl.ok("stopp", podId)
      const failed = await fetchText(`http://127.0.0.1:${port}/`).then(
        () => false,
        () => true
      )
      assert.isTrue(failed, "the port is closed")
      // It is free for the next pod at once.
      const next = await server("port-again", {
        port_mappings: [{ host_port: port, container_port: 8080, protocol: 0 }]
      })
      assert.strictEqual(
        await eventually("the next answers", () => fetchText(`http://127.0.0.1:${port}/`)),
        `200 ${page}`
      )
      await crictl.ok("rmp", "--force", podId, next.podId)
    })

    it("is the host's for pods that ask for it", async () => {
      const { crictl, pod, container, page } = site()
      const request = pod("host", { hostname: "" }, { network: 2 })
      const podId = await crictl.runp(request)
      const linux = { security_context: { namespace_options: { network: 2, pid: 1, ipc: 0 } } }
      const id = await crictl.create(podId, container("main", "exec httpd -f -p 29080 -h /www", { linux }), request)
      await crictl.ok("start", id)
      const { status } = await crictl.json("inspectp", podId)
      assert.strictEqual(status.network?.ip ?? "", "")
      assert.strictEqual(status.linux.namespaces.options.network, "NODE")
      assert.strictEqual(await eventually("httpd answers", () => fetchText("http://127.0.0.1:29080/")), `200 ${page}`)
      assert.strictEqual(await crictl.exec(id, "ls /sys/class/net"), interfaces())
      await crictl.ok("rmp", "--force", podId)
    })

    it("has the names that the pod's DNS configuration gives", async () => {
      const { crictl, pod, container, startOne } = site()
      const dns_config = { servers: ["10.9.8.7"], searches: ["a.example", "b.example"], options: ["ndots:5"] }
      const { podId, containerId } = await startOne(pod("dns", { dns_config }), container("main", "exec sleep 1000"))
      assert.strictEqual(
        await crictl.exec(containerId, "cat /etc/resolv.conf"),
        "search a.example b.example\nnameserver 10.9.8.7\noptions ndots:5"
      )
      await crictl.ok("rmp", "--force", podId)
    })

    it("has its own settings where the pod asks for them", async () => {
      const { crictl, pod, container, startOne } = site()
      const request = pod("sysctls")
      const linux = { ...(request.linux as Request), sysctls: { "net.ipv4.ip_unprivileged_port_start": "81" } }
      const { podId, containerId } = await startOne({ ...request, linux }, container("main", "exec sleep 1000"))
      assert.strictEqual(await crictl.exec(containerId, "cat /proc/sys/net/ipv4/ip_unprivileged_port_start"), "81")
      await crictl.ok("rmp", "--force", podId)
    })
  })
