/** Pods with user namespaces: their root is nobody on the host, and owns in the pod what root owns on disk. */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { assert, beforeAll, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

const firstId = 70_000
const range = [{ container_id: 0, host_id: firstId, length: 65_536 }]
// POD
const userNamespace: Request = { userns_options: { mode: 0, uids: range, gids: range } }
const mapped = { uidMappings: range, gidMappings: range }

/** What handlers have to show that offer them; the others refuse. */
export const userNamespaces = (site: () => Site, runtime: "crun" | "runc") =>
  describe("user namespaces", () => {
    const podOf = (name: string, namespaces: Request = {}, patch: Request = {}) =>
      site().pod(name, patch, { ...userNamespace, ...namespaces })
    const security = (fields: Request): Request => ({ linux: { security_context: fields } })
    const pins = () => {
      const directory = `${site().place.runroot}/userns`
      return existsSync(directory) ? readdirSync(directory) : []
    }
    const hasThem = runtime === "crun"

    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })

    it("are offered by handlers that can, and refused by those that cannot", async () => {
      const { crictl } = site()
      const { runtimeHandlers } = await crictl.json("info")
      const offered = runtimeHandlers
        .filter(({ features }: Request) => (features as Request)["user_namespaces"] === true)
        .map(({ name }: Request) => name ?? "")
      assert.deepStrictEqual(offered.toSorted(), hasThem ? ["", "crun"] : ["crun"])
      const refused = await crictl.runpFails(podOf("user-runc"), "--runtime", "runc")
      assert.match(refused, /code = InvalidArgument .*runtime handler runc \(runc [\d.]+\) has no user namespaces/)
      for (const [fields, reason] of [
        [{ mode: 1 }, "must be POD or NODE"],
        [{ mode: 0, uids: range }, "gids: must be one mapping, not 0"],
        [{ mode: 0, uids: range, gids: [{ ...range[0], host_id: 1 }] }, "alike"]
      ] as const) {
        const request = podOf("user-wrong", { userns_options: fields })
        assert.match(await crictl.runpFails(request, "--runtime", "crun"), new RegExp(`InvalidArgument .*${reason}`))
      }
      assert.match(
        await crictl.runpFails(podOf("user-node", { pid: 2 }), "--runtime", "crun"),
        /InvalidArgument .*pid: is NODE/
      )
      assert.deepStrictEqual(pins(), [])
    })

    if (!hasThem) return

    it("map the pod's ids everywhere: image, files of the pod, volumes, memory, devices, exec and log", async () => {
      const { crictl, container, startOne, place, directory, address } = site()
      const volume = `${directory}/user-volume`
      mkdirSync(volume)
      writeFileSync(`${volume}/of-root`, "from the host\n")
      await crictl.ok("pull", names.assets)
      const mounts = [
        { container_path: "/volume", host_path: volume, ...mapped },
        { container_path: "/plain", host_path: volume, readonly: true, recursive_read_only: true },
        {
          container_path: "/single",
          host_path: `${volume}/of-root`,
          readonly: true,
          recursive_read_only: true,
          ...mapped
        },
        {
          container_path: "/image",
          readonly: true,
          image: { image: names.assets, user_specified_image: names.assets },
          image_sub_path: "models"
        }
      ]
      const sysctls = { "kernel.shm_rmid_forced": "1", "net.ipv4.ip_forward": "1" }
      const request = podOf("user-all", {}, {})
      const linux = { ...(request["linux"] as Request), sysctls }
      const { podId, containerId } = await startOne(
        { ...request, linux, dns_config: { servers: ["192.0.2.53"] } },
        container("main", "id -u; cat /proc/self/uid_map; exec sleep 1000", {
          mounts,
          devices: [{ host_path: "/dev/zero", container_path: "/dev/other", permissions: "rw" }]
        })
      )
      const log = await eventually("it writes", () => crictl.ok("logs", containerId).then((text) => text || undefined))
      assert.match(log, /^0\n +0 +70000 +65536$/)

      const owners = await crictl.exec(
        containerId,
        "stat -c '%u:%g %n' / /bin/sh /etc/hostname /etc/resolv.conf /dev/shm /volume/of-root /plain/of-root /single /image/weights"
      )
      assert.deepStrictEqual(owners.split("\n"), [
        "0:0 /",
        "0:0 /bin/sh",
        "0:0 /etc/hostname",
        "0:0 /etc/resolv.conf",
        "0:0 /dev/shm",
        "0:0 /volume/of-root",
        "65534:65534 /plain/of-root",
        "0:0 /single",
        "0:0 /image/weights"
      ])
      const written = await crictl.exec(
        containerId,
        `set -e; echo made > /made; cat /bin/sh > /bin/copy; chown 7:8 /made; echo more >> /etc/hostname
         echo from the pod > /volume/of-pod; touch /dev/shm/mine; echo > /dev/null; head -c 1 /dev/urandom | wc -c
         stat -c '%a %F' /dev/other; head -c 2 /dev/other | wc -c
         cat /etc/resolv.conf /volume/of-root; cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_forward
         hostname; cat /proc/self/gid_map | tr -s ' '`
      )
      assert.deepStrictEqual(written.split("\n"), [
        "1",
        "666 character special file",
        "2",
        "nameserver 192.0.2.53",
        "from the host",
        "1",
        "1",
        "user-all",
        " 0 70000 65536"
      ])
      const shown = await crictl.exec(
        containerId,
        "grep -E ' /(plain|single|volume|etc/hostname|dev/shm) ' /proc/self/mounts | cut -d' ' -f2,4 | sort"
      )
      const flags = shown.split("\n").map((line) => {
        const [path = "", text = ""] = line.split(" ")
        return [path, text.split(",").filter((flag) => /^(r[ow]|no(suid|dev|exec))$/.test(flag))].flat().join(" ")
      })
      assert.deepStrictEqual(flags, [
        "/dev/shm rw nosuid nodev noexec",
        "/etc/hostname rw",
        "/plain ro",
        "/single ro",
        "/volume rw"
      ])
      const owner = (path: string) => {
        const { uid, gid } = statSync(path)
        return [uid, gid]
      }
      assert.deepStrictEqual(owner(`${volume}/of-pod`), [0, 0])
      const stored = JSON.parse(readFileSync(`${place.root}/overlay-containers/containers.json`, "utf8"))
      const { layer } = stored.find(({ id }: Request) => id === containerId)
      const diff = `${place.root}/overlay/${layer}/diff`
      assert.deepStrictEqual(owner(diff), [firstId, firstId])
      assert.deepStrictEqual(owner(`${diff}/made`), [firstId + 7, firstId + 8])

      const { status, info } = await crictl.json("inspect", containerId)
      assert.deepInclude(status.user.linux, { uid: "0", gid: "0" })
      const volumes = status.mounts.map((mount: Request) => [mount["containerPath"], mount["uidMappings"]])
      const ids = [{ containerId: 0, hostId: firstId, length: 65_536 }]
      assert.deepInclude(volumes, ["/volume", ids])
      assert.deepInclude(volumes, ["/plain", []])
      const host = readFileSync(`/proc/${info.pid}/status`, "utf8")
      assert.match(host, /^Uid:\t70000\t70000\t70000\t70000$/m)
      // In every hierarchy the container lies below its pod's cgroup.
      const parent = String(linux["cgroup_parent" as keyof typeof linux])
      const cgroups = readFileSync(`/proc/${info.pid}/cgroup`, "utf8").trimEnd().split("\n")
      const inTree = cgroups.filter((line) => line.endsWith(`:${parent}/crio-${containerId}`))
      assert.isAbove(inTree.length, 0)
      assert.deepStrictEqual(
        cgroups.filter((line) => !line.endsWith(":/") && !inTree.includes(line) && !line.startsWith("0::")),
        []
      )
      const options = (await crictl.json("inspectp", podId)).status.linux.namespaces.options.usernsOptions
      assert.deepStrictEqual(options.uids, ids)
      assert.deepStrictEqual([options.mode, options.gids], ["POD", options.uids])
      assert.match(await address(podId), /^10\.213\./)

      // The pod's root may change its network, and nothing else's.
      const inside = await crictl.create(
        podId,
        container("admin", "ip link set lo down && ip link set lo up && echo done; exec sleep 1000", {
          ...security({ capabilities: { add_capabilities: ["NET_ADMIN"] } })
        }),
        request
      )
      await crictl.ok("start", inside)
      const done = await eventually("it has tried", () => crictl.ok("logs", inside).then((text) => text || undefined))
      assert.strictEqual(done, "done")

      await crictl.ok("rmp", "--force", podId)
      await crictl.ok("rmi", names.assets)
      assert.deepStrictEqual(pins(), [])
      assert.isFalse(readFileSync("/proc/self/mountinfo", "utf8").includes("/overlay/idmap"))
    })

    it("go with a shared PID namespace, the node's network, other users and privileged containers", async () => {
      const { crictl, container, startOne } = site()
      const look =
        "cat /proc/self/uid_map | tr -s ' '; id -u; cat /proc/1/comm; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '; exec sleep 1000"
      const podOfKind = async (name: string, namespaces: Request, fields: Request, ofPod: Request = {}) => {
        const plain = podOf(name, namespaces)
        const linux = plain["linux"] as { readonly security_context: { readonly namespace_options: Request } }
        const options = { ...linux.security_context, ...ofPod }
        const request = { ...plain, linux: { ...linux, security_context: options } }
        const started = await startOne(
          request,
          container("main", look, security({ namespace_options: options.namespace_options, ...fields }))
        )
        const text = await eventually("it has looked", async () => {
          const lines = (await crictl.ok("logs", started.containerId)).split("\n")
          return lines.length > 3 ? lines : undefined
        })
        assert.strictEqual(await crictl.exec(started.containerId, "echo exec"), "exec")
        await crictl.ok("rmp", "--force", started.podId)
        return text
      }
      await crictl.ok("pull", names.pause)
      const map = " 0 70000 65536"
      const shared = await podOfKind("user-pid", { pid: 0 }, {})
      assert.deepStrictEqual(shared.slice(0, 2), [map, "0"])
      assert.notInclude(["sleep", "sh"], shared[2])
      const network = await podOfKind("user-network", { network: 2 }, {})
      assert.deepStrictEqual(network.slice(0, 2), [map, "0"])
      assert.include(network, site().place.bridge)
      const user = await podOfKind("user-other", {}, { run_as_user: { value: 1234 }, run_as_group: { value: 99 } })
      assert.deepStrictEqual(user.slice(0, 2), [map, "1234"])
      assert.includeMembers(user, ["eth0", "lo"])
      const privileged = await podOfKind("user-privileged", {}, { privileged: true }, { privileged: true })
      assert.deepStrictEqual(privileged.slice(0, 2), [map, "0"])
      assert.deepStrictEqual(pins(), [])
    })

    it("refuse users and volumes that they cannot map, and leave nothing of the attempt", async () => {
      const { crictl, container } = site()
      const request = podOf("user-refused")
      const podId = await crictl.runp(request)
      const refused = (patch: Request) => crictl.createFails(podId, container("main", "true", patch), request)
      assert.match(
        await refused(security({ run_as_user: { value: 65_536 } })),
        /InvalidArgument .*does not map uid 65536/
      )
      const volume = { container_path: "/volume", host_path: "/proc/sys" }
      assert.match(
        await refused({ mounts: [{ ...volume, ...mapped }] }),
        /the file system of \/proc\/sys has no idmapped mounts/
      )
      assert.match(
        await refused({ mounts: [{ ...volume, uidMappings: range }] }),
        /InvalidArgument .*are not the pod's user namespace/
      )
      assert.match(
        await refused(security({ namespace_options: { userns_options: { mode: 2 } } })),
        /InvalidArgument .*userns_options: is not the pod sandbox's/
      )
      assert.deepStrictEqual((await crictl.json("ps", "-a", "-o", "json", "--pod", podId)).containers, [])
      await crictl.ok("rmp", "--force", podId)
    })

    it("outlive the daemon, and go with the pod after it", async () => {
      const { crictl, container, startOne, killAndRestart } = site()
      const request = podOf("user-kept")
      const { podId, containerId } = await startOne(request, container("main", "exec sleep 1000"))
      const before = await crictl.json("inspectp", podId)
      await killAndRestart()
      await eventually("the daemon is ready", async () => await crictl.ok("pods"))
      assert.deepStrictEqual((await crictl.json("inspectp", podId)).status, before.status)
      assert.strictEqual(await crictl.exec(containerId, "stat -c %u /bin/sh"), "0")
      const later = await crictl.create(podId, container("later", "stat -c %u /bin/sh"), request)
      await crictl.ok("start", later)
      assert.strictEqual(
        await eventually("it writes", () => crictl.ok("logs", later).then((text) => text || undefined)),
        "0"
      )
      assert.deepStrictEqual(pins(), [podId])
      await crictl.ok("rmp", "--force", podId)
      assert.deepStrictEqual(pins(), [])
    })
  })
