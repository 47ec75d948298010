/** What kubelet's fields give a container, seen from inside: devices, CDI, hooks, mount options, paths, names, identity. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { assert, beforeAll, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { credentials, eventually, names, type Site } from "./support/Site.ts"

const namespaces = { network: 0, pid: 1, ipc: 0 }
const secured = (context: Request): Request => ({
  linux: { security_context: { namespace_options: namespaces, ...context } }
})

export const featuresOfContainers = (site: () => Site) =>
  describe("features", () => {
    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })
    const running = async (name: string, patch: Request = {}, podPatch: Request = {}) => {
      const { pod, container, startOne } = site()
      return await startOne(pod(name, podPatch), container("main", "exec sleep 1000", patch))
    }
    const readsAndWrites = (path: string) =>
      `(exec 3<${path}) 2>/dev/null && echo reads || echo closed; (exec 3>${path}) 2>/dev/null && echo writes || echo closed`

    it("devices: where they are asked for, with the permissions that are asked for", async () => {
      const { crictl } = site()
      const { podId, containerId } = await running("devices", {
        devices: [
          { host_path: "/dev/fuse", container_path: "/dev/of-kubelet/fuse", permissions: "rw" },
          { host_path: "/dev/kmsg", container_path: "/dev/log-of-kernel", permissions: "m" }
        ]
      })
      assert.strictEqual(await crictl.exec(containerId, readsAndWrites("/dev/of-kubelet/fuse")), "reads\nwrites")
      assert.strictEqual(await crictl.exec(containerId, readsAndWrites("/dev/log-of-kernel")), "closed\nclosed")
      assert.strictEqual(
        await crictl.exec(
          containerId,
          "stat -c '%t:%T' /dev/of-kubelet/fuse /dev/log-of-kernel; ls /dev/fuse 2>/dev/null || echo none"
        ),
        "a:e5\n1:b\nnone"
      )
      await crictl.ok("rmp", "--force", podId)
    })

    it("CDI devices: variables, nodes, mounts, hooks and groups, over what kubelet's devices gave", async () => {
      const { crictl, cdi, directory, pod, container } = site()
      mkdirSync(`${directory}/driver`)
      writeFileSync(`${directory}/driver/version`, "9\n")
      writeFileSync(`${directory}/hook`, `#!/bin/sh\ncat >${directory}/hook-ran; echo "$1" >>${directory}/hook-ran\n`)
      chmodSync(`${directory}/hook`, 0o755)
      const device = (name: string, edits: Request) => ({ name, containerEdits: edits })
      writeFileSync(
        `${cdi}/vendor.json`,
        JSON.stringify({
          cdiVersion: "0.6.0",
          kind: "vendor.com/gpu",
          containerEdits: {
            env: ["DRIVER=9"],
            mounts: [{ hostPath: `${directory}/driver`, containerPath: "/driver", options: ["ro", "bind"] }],
            hooks: [{ hookName: "createRuntime", path: `${directory}/hook`, args: ["hook", "from-cdi"] }]
          },
          devices: [
            device("0", {
              env: ["GPU=0"],
              deviceNodes: [{ path: "/dev/gpu0", hostPath: "/dev/fuse", permissions: "rw" }],
              additionalGids: [4242]
            })
          ]
        })
      )
      writeFileSync(
        `${cdi}/other.yaml`,
        `cdiVersion: "0.5.0"
kind: other.org/nic
devices:
  - name: fast
    containerEdits:
      env: [NIC=fast]
      deviceNodes:
        - path: /dev/nic
          type: c
          major: 1
          minor: 3
          permissions: r
`
      )
      const { podId, containerId } = await running("cdi", {
        // kubelet's own device of the same place gives way.
        devices: [{ host_path: "/dev/kmsg", container_path: "/dev/gpu0", permissions: "r" }],
        CDI_devices: [{ name: "vendor.com/gpu=0" }, { name: "other.org/nic=fast" }, { name: "vendor.com/gpu=0" }]
      })
      assert.strictEqual(await crictl.exec(containerId, "echo $DRIVER $GPU $NIC; cat /driver/version"), "9 0 fast\n9")
      assert.strictEqual(await crictl.exec(containerId, "touch /driver/x 2>/dev/null || echo read-only"), "read-only")
      assert.strictEqual(await crictl.exec(containerId, readsAndWrites("/dev/gpu0")), "reads\nwrites")
      assert.strictEqual(await crictl.exec(containerId, "stat -c '%t:%T' /dev/gpu0 /dev/nic"), "a:e5\n1:3")
      assert.include((await crictl.exec(containerId, "id -G")).split(" "), "4242")
      const { status } = await crictl.json("inspect", containerId)
      assert.deepStrictEqual(status.user.linux.supplementalGroups, ["0", "4242"])
      const ran = readFileSync(`${directory}/hook-ran`, "utf8")
      assert.include(ran, "from-cdi")
      assert.include(ran, containerId)

      const request = pod("cdi-unknown")
      const refusedPod = await crictl.runp(request)
      const unknown = container("main", "true", { CDI_devices: [{ name: "vendor.com/gpu=7" }] })
      assert.match(
        await crictl.createFails(refusedPod, unknown, request),
        /InvalidArgument.*unresolvable CDI device.*vendor\.com\/gpu=7/
      )
      await crictl.ok("rmp", "--force", podId, refusedPod)
    })

    it("hooks of the node: for the containers that their definitions match", async () => {
      const { crictl, hooks, directory } = site()
      const definition = (file: string, when: Request) => {
        writeFileSync(`${directory}/${file}.sh`, `#!/bin/sh\ncat >/dev/null; echo "$1" >>${directory}/${file}-ran\n`)
        chmodSync(`${directory}/${file}.sh`, 0o755)
        writeFileSync(
          `${hooks}/${file}.json`,
          JSON.stringify({
            version: "1.0.0",
            hook: { path: `${directory}/${file}.sh`, args: [file, "stage"] },
            when,
            stages: ["createRuntime", "poststop"]
          })
        )
      }
      definition("wanted", { annotations: { "^hook\\.example$": "^yes$" }, commands: ["^sh$"] })
      definition("other", { annotations: { "^hook\\.example$": "^no$" } })
      const { podId } = await running("hooks", { annotations: { "hook.example": "yes" } })
      const ran = (file: string) =>
        existsSync(`${directory}/${file}-ran`) ? readFileSync(`${directory}/${file}-ran`, "utf8") : ""
      assert.strictEqual(ran("wanted"), "stage\n")
      await crictl.ok("rmp", "--force", podId)
      await eventually("the hook after the end", () => ran("wanted") === "stage\nstage\n")
      assert.strictEqual(ran("other"), "")
    })

    it("mount options take away what they say, and are told in the status", async () => {
      const { crictl, client, directory, pod } = site()
      mkdirSync(`${directory}/options`)
      writeFileSync(`${directory}/options/program`, "#!/bin/sh\necho ran\n")
      chmodSync(`${directory}/options/program`, 0o755)
      const mount = (containerPath: string, ...mountOptions: ReadonlyArray<string>) => ({
        hostPath: `${directory}/options`,
        containerPath,
        mountOptions
      })
      const image = { image: names.busybox }
      const ofImage = { containerPath: "/image", image, readonly: true, mountOptions: ["noexec"] }
      const podId = await crictl.runp(pod("options"))
      // crictl knows the field since 1.37.
      const create = (name: string, ...mounts: ReadonlyArray<ReturnType<typeof mount> | typeof ofImage>) =>
        client().createContainer({
          podSandboxId: podId,
          config: {
            metadata: { name },
            image,
            command: ["sh", "-c", "exec sleep 1000"],
            mounts,
            linux: { securityContext: { namespaceOptions: { pid: 1 } } }
          }
        })
      const { containerId } = await create(
        "main",
        mount("/plain"),
        mount("/noexec", "noexec"),
        mount("/all", "noexec", "nodev", "nosuid"),
        ofImage
      )
      await crictl.ok("start", containerId)
      assert.strictEqual(
        await crictl.exec(
          containerId,
          "/plain/program; /noexec/program 2>/dev/null || echo refused; grep -c ' /all .*rw,nosuid,nodev,noexec' /proc/self/mounts; /image/bin/busybox true 2>/dev/null || echo refused"
        ),
        "ran\nrefused\n1\nrefused"
      )
      const { status } = await client().containerStatus({ containerId })
      assert.deepStrictEqual(
        status?.mounts.map(({ mountOptions }) => mountOptions),
        [[], ["noexec"], ["noexec", "nodev", "nosuid"], ["noexec"]]
      )
      const refused = await create("refused", mount("/x", "suid")).catch((error: unknown) => String(error))
      assert.match(String(refused), /INVALID_ARGUMENT.*mount_options.*suid/)
      const { features } = await client().status()
      assert.isTrue(features?.mountOptions)
      await crictl.ok("rmp", "--force", podId)
    })

    it("procMount: masked and read-only paths as given, none for an empty list", async () => {
      const { crictl } = site()
      const look =
        "grep -c -E ' (/proc/timer_list|/sys/firmware) ' /proc/self/mounts; grep -c ' /proc/sys ' /proc/self/mounts; ls /sys/firmware | wc -l"
      const seen = async (containerId: string) =>
        (await crictl.run("exec", "-s", containerId, "sh", "-c", look)).stdout.trim().split("\n").map(Number)
      const masked = await running(
        "masked",
        secured({ masked_paths: ["/proc/timer_list", "/sys/firmware"], readonly_paths: ["/proc/sys"] })
      )
      assert.deepStrictEqual(await seen(masked.containerId), [2, 1, 0])
      const unmasked = await running("unmasked", secured({ masked_paths: [], readonly_paths: [] }))
      assert.deepStrictEqual((await seen(unmasked.containerId)).slice(0, 2), [0, 0])
      await crictl.ok("rmp", "--force", masked.podId, unmasked.podId)
    })

    it("no_new_privs and ambient capabilities as given", async () => {
      const { crictl } = site()
      const status = "grep -E '^(NoNewPrivs|CapAmb|CapInh)' /proc/self/status | tr -d '\\t'"
      const one = await running(
        "privs",
        secured({
          no_new_privs: true,
          run_as_user: { value: 1234 },
          capabilities: { add_ambient_capabilities: ["NET_BIND_SERVICE"] }
        })
      )
      const bit = "0000000000000400"
      assert.strictEqual(await crictl.exec(one.containerId, status), `CapInh:${bit}\nCapAmb:${bit}\nNoNewPrivs:1`)
      const two = await running("no-privs", secured({ no_new_privs: false }))
      const none = "0".repeat(16)
      assert.strictEqual(await crictl.exec(two.containerId, status), `CapInh:${none}\nCapAmb:${none}\nNoNewPrivs:0`)
      await crictl.ok("rmp", "--force", one.podId, two.podId)
    })

    it("huge pages and unified keys reach what the kernel offers, and are told as they were asked for", async () => {
      const { crictl } = site()
      const resources = {
        hugepage_limits: [{ page_size: "2MB", limit: 4 << 20 }],
        unified: { "memory.high": "1000000000" }
      }
      const { podId, containerId } = await running("limits", {
        linux: { resources, security_context: { namespace_options: namespaces } }
      })
      const { status, info } = await crictl.json("inspect", containerId)
      assert.deepStrictEqual(status.resources.linux.hugepageLimits, [{ pageSize: "2MB", limit: "4194304" }])
      assert.deepStrictEqual(status.resources.linux.unified, { "memory.high": "1000000000" })
      assert.isDefined(info)
      const limitOf = (file: string) => (existsSync(file) ? readFileSync(file, "utf8").trim() : undefined)
      const { pid } = info as { readonly pid?: number }
      // On v1, and where the kernel has no controller, the limits mean nothing and the container runs all the same.
      const own = /^0::(.*)$/m.exec(pid === undefined ? "" : readFileSync(`/proc/${pid}/cgroup`, "utf8"))?.[1]
      if (existsSync("/sys/fs/cgroup/cgroup.controllers") && own !== undefined) {
        assert.strictEqual(limitOf(`/sys/fs/cgroup${own}/memory.high`), "999997440")
        assert.include([undefined, "4194304"], limitOf(`/sys/fs/cgroup${own}/hugetlb.2MB.max`))
      }
      assert.strictEqual(await crictl.exec(containerId, "echo runs"), "runs")
      await crictl.ok("rmp", "--force", podId)
    })

    it("sysctls that would leave the pod are refused, whatever hides in them", async () => {
      const { crictl, pod } = site()
      const core = readFileSync("/proc/sys/kernel/core_pattern", "utf8")
      for (const [sysctls, options] of [
        [{ "kernel.core_pattern": "|/bin/x" }, {}],
        [{ "kernel.shm_rmid_forced": "1+kernel.core_pattern=x" }, {}],
        [{ "net.ipv4.ip_forward": "1\nkernel.core_pattern=x" }, {}],
        [{ "net/../kernel/core_pattern": "x" }, {}],
        [{ "net.ipv4.ip_forward": "1" }, { network: 2 }],
        [{ "kernel.shm_rmid_forced": "1" }, { ipc: 2 }]
      ] as const) {
        const request = pod("sysctl-refused", {}, options)
        const refused = await crictl.runpFails({
          ...request,
          ...("network" in options ? { hostname: "" } : {}),
          linux: { ...(request.linux as Request), sysctls }
        })
        assert.match(refused, /code = InvalidArgument desc = .*sysctls/, JSON.stringify(sysctls))
      }
      assert.strictEqual(readFileSync("/proc/sys/kernel/core_pattern", "utf8"), core)
    })

    it("resolv.conf and hostname: the host's where the pod says nothing, on the host's network always", async () => {
      const { crictl, pod, container, startOne } = site()
      const host = readFileSync("/etc/resolv.conf", "utf8").trim()
      const own = await running("names", {}, { dns_config: { servers: [], searches: [], options: [] } })
      assert.strictEqual(await crictl.exec(own.containerId, "cat /etc/resolv.conf"), host)
      assert.strictEqual(
        await crictl.exec(own.containerId, "cat /etc/hostname; hostname; echo $HOSTNAME"),
        "names\nnames\nnames"
      )

      const node = readFileSync("/proc/sys/kernel/hostname", "utf8").trim()
      const shared = await startOne(
        pod("names-of-host", { hostname: "" }, { network: 2 }),
        container("main", "exec sleep 1000", {
          linux: { security_context: { namespace_options: { ...namespaces, network: 2 } } }
        })
      )
      assert.strictEqual(
        await crictl.exec(shared.containerId, "cat /etc/hostname; hostname; echo $HOSTNAME; cat /etc/resolv.conf"),
        [node, node, node, host].join("\n")
      )
      const options = await running("options-only", {}, { dns_config: { options: ["ndots:2", "edns0"] } })
      assert.strictEqual(await crictl.exec(options.containerId, "cat /etc/resolv.conf"), "options ndots:2 edns0")
      const longest = `${"a".repeat(40)}.${"b".repeat(19)}.com`
      const long = await running("long", {}, { hostname: longest })
      assert.strictEqual(longest.length, 64)
      assert.strictEqual(await crictl.exec(long.containerId, "hostname"), longest)
      assert.match(await crictl.runpFails(pod("longer", { hostname: `a${longest}` })), /InvalidArgument.*hostname/)
      const smuggled = pod("smuggled", { dns_config: { searches: ["a\nnameserver 6.6.6.6"] } })
      assert.match(await crictl.runpFails(smuggled), /InvalidArgument.*dns_config\.searches/)
      await crictl.ok("rmp", "--force", own.podId, shared.podId, options.podId, long.podId)
    })

    it("an image of 127 layers runs, and is read as a volume", async () => {
      const { crictl } = site()
      await crictl.ok("pull", names.tower)
      const image = { image: names.tower, user_specified_image: names.tower }
      const { podId, containerId } = await running("tower", {
        image,
        mounts: [{ container_path: "/volume", readonly: true, image, image_sub_path: "tower" }]
      })
      assert.strictEqual(
        await crictl.exec(containerId, "cat /top; ls /tower | wc -l; ls /volume | wc -l; echo mine >/top && cat /top"),
        "125\n126\n126\nmine"
      )
      await crictl.ok("rmp", "--force", podId)
      await crictl.ok("rmi", names.tower)
    })

    it("one image from two registries is one id, wherever it is told", async () => {
      const { crictl, images, secret, pod, container } = site()
      const creds = `${credentials.username}:${credentials.password}`
      const { id } = images.busybox
      assert.include(await crictl.ok("pull", "--creds", creds, secret), id)
      assert.include(await crictl.ok("pull", names.busybox), id)
      const request = pod("identity")
      const podId = await crictl.runp(request)
      // The last two as kubelet asks: by id, with what the pod's author wrote beside it.
      const asks = [
        [names.busybox, names.busybox],
        [secret, secret],
        [id, names.busybox],
        [`sha256:${id}`, secret]
      ] as const
      for (const [index, [asked, name]] of asks.entries()) {
        const image = { image: asked, user_specified_image: name }
        const containerId = await crictl.create(podId, container(`c${index}`, "true", { image }), request)
        const { status } = await crictl.json("inspect", containerId)
        const listed = (await crictl.json("ps", "-a", "-o", "json", "--id", containerId)).containers
        assert.deepStrictEqual([status.imageId, listed[0].imageId], [id, id], name)
        assert.strictEqual(status.imageRef, `${name.replace(/:[^:/]*$/, "")}@${images.busybox.digest}`)
        assert.strictEqual(status.image.image, name)
        assert.strictEqual((await crictl.json("inspecti", name)).status.id, id)
      }
      const all = (await crictl.json("images", "-o", "json")).images.filter((one: Request) => one.id === id)
      assert.strictEqual(all.length, 1)
      await crictl.ok("rmp", "--force", podId)
    })

    it("the pause image and pinned_images are pinned; whoever removes one all the same is obeyed", async () => {
      const { crictl } = site()
      for (const name of [names.pause, names.nginx, names.app]) await crictl.ok("pull", name)
      const pinned = async (name: string) => (await crictl.json("inspecti", name)).status.pinned
      assert.deepStrictEqual(
        [await pinned(names.pause), await pinned(names.nginx), await pinned(names.app)],
        [true, true, false]
      )
      const listed = (await crictl.json("images", "-o", "json")).images
      assert.sameMembers(
        listed.filter((one: Request) => one.pinned).flatMap((one: Request) => one.repoTags),
        [names.pause, names.nginx]
      )
      await crictl.ok("rmi", names.nginx)
      await crictl.ok("pull", names.nginx)
    })
  })
