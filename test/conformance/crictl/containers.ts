/** What containers see: environment, users, mounts, root file system, devices, limits, shared processes. */
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { assert, describe, it } from "vitest"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

/** CRI LinuxContainerSecurityContext in a container's `linux`. */
const secured = (context: Request, resources?: Request): Request => ({
  linux: {
    ...(resources === undefined ? {} : { resources }),
    security_context: { namespace_options: { network: 0, pid: 1, ipc: 0 }, ...context }
  }
})

const app = { image: { image: names.app, user_specified_image: names.app } }

export const containersOfPods = (site: () => Site) =>
  describe("containers", () => {
    const running = async (name: string, script: string, patch: Request = {}, podPatch: Request = {}) => {
      const { pod, container, startOne } = site()
      return await startOne(pod(name, podPatch), container("main", script, patch))
    }
    const ended = (containerId: string) =>
      eventually("it ends", async () => {
        const { status } = await site().crictl.json("inspect", containerId)
        return status.state === "CONTAINER_EXITED" ? status : undefined
      })

    it("have the image's command, environment, directory and user unless the request says otherwise", async () => {
      const { crictl, pod, container, startOne } = site()
      const { podId, containerId } = await startOne(
        pod("image"),
        container("main", "", { ...app, command: [], envs: [{ key: "REPLACED", value: "by request" }] })
      )
      const seen = await crictl.exec(
        containerId,
        "id -u; id -g; id -G; pwd; echo $FROM_IMAGE $REPLACED; ls /www; cat /data/from-image"
      )
      assert.deepStrictEqual(seen.split("\n"), ["1234", "4321", "4321 5555", "/work", "1 by request", "seed"])
      assert.strictEqual(
        await eventually("the log", async () => await crictl.ok("logs", containerId)),
        "entry sleep 1000"
      )
      const { status } = await crictl.json("inspect", containerId)
      assert.deepStrictEqual(status.user, { linux: { uid: "1234", gid: "4321", supplementalGroups: ["4321", "5555"] } })
      assert.strictEqual(status.stopSignal, "SIGUSR1")
      // pid 1 has no handler for it: the grace period passes, then it is killed.
      await crictl.ok("stop", "--timeout", "1", containerId)
      assert.strictEqual((await crictl.json("inspect", containerId)).status.exitCode, 137)
      await crictl.ok("rmp", "--force", podId)
    })

    it("have what the request says", async () => {
      const { crictl } = site()
      const { podId, containerId } = await running("request", "exec sleep 1000", {
        envs: [
          { key: "A", value: "1 = 2\n3" },
          { key: "PATH", value: "/bin" }
        ],
        working_dir: "/made/here"
      })
      assert.strictEqual(await crictl.exec(containerId, 'pwd; printf "%s." "$A"'), "/made/here\n1 = 2\n3.")
      assert.strictEqual(await crictl.exec(containerId, "cat /proc/1/cmdline | tr '\\0' ' '"), "sleep 1000")
      await crictl.ok("rmp", "--force", podId)
    })

    it("run as another user, with the groups that are asked for", async () => {
      const { crictl } = site()
      const cases: ReadonlyArray<readonly [string, Request, string]> = [
        ["number", { run_as_user: { value: 77 } }, "77 78 5555 78"],
        ["numbers", { run_as_user: { value: 9000 }, run_as_group: { value: 9001 } }, "9000 9001 9001"],
        ["name", { run_as_username: "other", supplemental_groups: [6000] }, "77 78 5555 6000 78"]
      ]
      for (const [name, context, expected] of cases) {
        const { podId, containerId } = await running(`user-${name}`, "exec sleep 1000", { ...app, ...secured(context) })
        const [uid, gid, ...groups] = (await crictl.exec(containerId, "echo $(id -u) $(id -g) $(id -G)")).split(" ")
        assert.strictEqual([uid, gid, ...groups.sort()].join(" "), expected, name)
        assert.match(await crictl.exec(containerId, "grep CapEff /proc/self/status"), /CapEff:\s+0000000000000000/)
        await crictl.ok("rmp", "--force", podId)
      }
    })

    it("have mounts of the host, read-only where asked, and find later changes there", async () => {
      const { crictl, directory } = site()
      const shared = `${directory}/shared`
      mkdirSync(shared)
      writeFileSync(`${shared}/file`, "from host\n")
      const mounts = [
        { container_path: "/rw", host_path: shared },
        { container_path: "/ro", host_path: shared, readonly: true },
        { container_path: "/one/file", host_path: `${shared}/file` },
        // What is not there becomes a directory.
        { container_path: "/made", host_path: `${directory}/not-yet/there` }
      ]
      const { podId, containerId } = await running("mounts", "exec sleep 1000", { mounts })
      assert.strictEqual(
        await crictl.exec(containerId, "cat /rw/file /ro/file /one/file"),
        "from host\n".repeat(3).trim()
      )
      await crictl.exec(containerId, "echo from container > /rw/new; touch /made/it")
      assert.deepStrictEqual(readdirSync(`${directory}/not-yet/there`), ["it"])
      assert.strictEqual(readFileSync(`${shared}/new`, "utf8"), "from container\n")
      assert.match(await crictl.fails("exec", "-s", containerId, "touch", "/ro/new"), /Read-only/)
      const { status } = await crictl.json("inspect", containerId)
      assert.deepStrictEqual(
        status.mounts.map((mount: Request) => [mount.containerPath, mount.hostPath, mount.readonly]),
        [
          ["/rw", shared, false],
          ["/ro", shared, true],
          ["/one/file", `${shared}/file`, false],
          ["/made", `${directory}/not-yet/there`, false]
        ]
      )
      await crictl.ok("rmp", "--force", podId)
    })

    it("have a read-only root file system if asked", async () => {
      const { crictl } = site()
      const { podId, containerId } = await running("read-only", "exec sleep 1000", secured({ readonly_rootfs: true }))
      assert.match(await crictl.fails("exec", "-s", containerId, "touch", "/new"), /Read-only/)
      assert.strictEqual(await crictl.exec(containerId, "touch /dev/shm/x && echo written"), "written")
      await crictl.ok("rmp", "--force", podId)
    })

    it("start from the image, not from what another container wrote", async () => {
      const { crictl } = site()
      const first = await running("fresh-one", "exec sleep 1000")
      await crictl.exec(first.containerId, "echo x > /mine; rm /www/index.html")
      const second = await running("fresh-two", "exec sleep 1000")
      assert.strictEqual(
        await crictl.exec(second.containerId, "ls /mine 2>/dev/null; cat /www/index.html"),
        site().page.trim()
      )
      await crictl.ok("rmp", "--force", first.podId, second.podId)
    })

    it("are confined by capabilities, paths, seccomp and devices, unless they are privileged", async () => {
      const { crictl } = site()
      const plain = secured({
        capabilities: { drop_capabilities: ["ALL"], add_capabilities: ["NET_BIND_SERVICE"] },
        no_new_privs: true,
        masked_paths: ["/proc/version"],
        readonly_paths: ["/proc/sys"],
        seccomp: { profile_type: 0 }
      })
      const confined = await running("confined", "exec sleep 1000", plain)
      const facts = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/1/status | awk '{print $2}'"
      const [effective, bounding, noNewPrivs, seccomp] = (await crictl.exec(confined.containerId, facts)).split("\n")
      // CAP_NET_BIND_SERVICE is number 10.
      assert.deepStrictEqual([effective, bounding], ["0000000000000400", "0000000000000400"])
      assert.deepStrictEqual([noNewPrivs, seccomp], ["1", "2"])
      assert.match(
        await crictl.fails("exec", "-s", confined.containerId, "sh", "-c", "echo 1 > /proc/sys/kernel/panic"),
        /Read-only/
      )
      assert.strictEqual(await crictl.exec(confined.containerId, "wc -c < /proc/version"), "0")
      assert.match(
        await crictl.fails("exec", "-s", confined.containerId, "mount", "-t", "tmpfs", "none", "/tmp"),
        /permitted|denied/
      )
      const devices =
        "ls /dev | grep -vxE 'console|core|fd|full|mqueue|null|ptmx|pts|random|shm|std(in|out|err)|tty|urandom|zero'"
      assert.strictEqual(await crictl.exec(confined.containerId, `${devices} || true`), "")

      const whole = { security_context: { privileged: true, namespace_options: { network: 0, pid: 1, ipc: 0 } } }
      const privileged = await running("privileged", "exec sleep 1000", secured({ privileged: true }), { linux: whole })
      assert.strictEqual(
        await crictl.exec(privileged.containerId, "grep Seccomp: /proc/1/status | awk '{print $2}'"),
        "0"
      )
      assert.strictEqual(
        await crictl.exec(privileged.containerId, "mount -t tmpfs none /tmp && touch /tmp/x && echo mounted"),
        "mounted"
      )
      await crictl.ok("rmp", "--force", confined.podId, privileged.podId)
    })

    it("have their limits in their cgroup, and are killed above them", async () => {
      const { crictl } = site()
      const limits = { memory_limit_in_bytes: 32 << 20, cpu_quota: 20_000, cpu_period: 100_000, cpu_shares: 512 }
      const { podId, containerId } = await running("limits", "x=a; while :; do x=$x$x; done", secured({}, limits))
      const status = await ended(containerId)
      assert.deepInclude(status, { exitCode: 137, reason: "OOMKilled" })
      const { linux } = status.resources
      assert.deepInclude(linux, { memoryLimitInBytes: String(32 << 20), cpuQuota: "20000", cpuShares: "512" })
      await crictl.ok("rmp", "--force", podId)
    })

    it("end with the code of their process, or of the signal that ended it", async () => {
      const { crictl } = site()
      const cases: ReadonlyArray<readonly [string, string, number, string]> = [
        ["zero", "exit 0", 0, "Completed"],
        ["code", "exit 42", 42, "Error"],
        ["signal", "kill -KILL $$; sleep 5", 137, "Error"]
      ]
      for (const [name, script, exitCode, reason] of cases) {
        // pid 1 is deaf to its own SIGKILL: the shell that dies is a child, and its code is passed on.
        const wrapped = name === "signal" ? `sh -c '${script}'; exit $?` : script
        const { podId, containerId } = await running(`exit-${name}`, wrapped)
        assert.deepInclude(await ended(containerId), { exitCode, reason }, name)
        await crictl.ok("rmp", "--force", podId)
      }
    })

    it("write logs of long lines, of bytes that are no text, and to a new file after rotation", async () => {
      const { crictl, place } = site()
      const script = "head -c 40000 /dev/zero | tr '\\0' x; echo; printf 'a\\377b\\n'; printf unfinished; cat /fifo"
      const { podId, containerId } = await running("logs", `mkfifo /fifo; ${script}; echo after; exec sleep 1000`)
      const path = `${place.logs}/logs/main/0.log`
      const bytes = await eventually("the log", () => {
        const log = readFileSync(path)
        return log.includes("unfinished") ? log : undefined
      })
      const parts = bytes
        .toString("latin1")
        .trimEnd()
        .split("\n")
        .map((line) => line.split(" "))
      const text = parts.map(([, , tag, ...rest]) => rest.join(" ") + (tag === "F" ? "\n" : "")).join("")
      assert.isTrue(text.startsWith(`${"x".repeat(40_000)}\na\xffb\n`), "the pieces make the line")
      renameSync(path, `${path}.old`)
      await crictl.ok("logs", "--reopen", containerId)
      await crictl.exec(containerId, "echo rotated > /fifo")
      await eventually("the new file", () => readFileSync(path, "utf8").includes("after"))
      assert.notInclude(readFileSync(`${path}.old`, "utf8"), "after")
      await crictl.ok("rmp", "--force", podId)
    })

    it("share processes through a pause container, if the pod asks for it", async () => {
      const { crictl, pod, container } = site()
      const request = pod("shared", {}, { pid: 0 })
      const podId = await crictl.runp(request)
      const shared = { linux: { security_context: { namespace_options: { network: 0, pid: 0, ipc: 0 } } } }
      const ids: Array<string> = []
      for (const name of ["one", "two"]) {
        const id = await crictl.create(
          podId,
          container(name, `exec sleep 100${name === "one" ? 1 : 2}`, shared),
          request
        )
        await crictl.ok("start", id)
        ids.push(id)
      }
      const [one = "", two = ""] = ids
      const seen = await crictl.exec(one, "ps -o pid,args")
      assert.match(seen, /^ *1 .*pause/m)
      assert.match(seen, /sleep 1001/)
      assert.match(seen, /sleep 1002/)
      // Ending one leaves the other and the pod; the pause image stays in use until the pod has gone.
      await crictl.ok("stop", "--timeout", "0", one)
      assert.match(await crictl.exec(two, "ps -o args"), /sleep 1002/)
      assert.strictEqual((await crictl.json("inspectp", podId)).status.state, "SANDBOX_READY")
      assert.include(await crictl.ok("images"), "registry.k8s.io/pause")
      await crictl.ok("stopp", podId)
      await crictl.ok("rmp", podId)
    })

    it("share memory of the pod, and see each other's processes only where asked", async () => {
      const { crictl, pod, container } = site()
      const request = pod("memory")
      const podId = await crictl.runp(request)
      const start = async (name: string, options: Request = {}) => {
        const namespaces = { network: 0, pid: 1, ipc: 0, ...options }
        const linux = { security_context: { namespace_options: namespaces } }
        const id = await crictl.create(podId, container(name, "exec sleep 1234", { linux }), request)
        await crictl.ok("start", id)
        return id
      }
      const one = await start("one")
      const two = await start("two")
      const debug = await start("debug", { pid: 3, target_id: one })
      await crictl.exec(one, "echo shared > /dev/shm/note")
      assert.strictEqual(await crictl.exec(two, "cat /dev/shm/note"), "shared")
      assert.strictEqual(await crictl.exec(two, "ps -o args | grep -c 'sleep 123[4]'"), "1")
      assert.strictEqual(await crictl.exec(debug, "ps -o args | grep -c 'sleep 123[4]'"), "2")
      await crictl.ok("rmp", "--force", podId)
    })
  })
