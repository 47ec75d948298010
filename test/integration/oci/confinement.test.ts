/** What a container sees and may do, asked from inside. Needs root. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { afterAll, beforeAll } from "vitest"
import { MountPropagation } from "../../../src/gen/runtime/v1/api.ts"
import { capabilityNames, namesOfMask } from "../../../src/oci/spec/capabilities.ts"
import { capability, criMount } from "../../oci/requests.ts"
import { install, layerOf, outputOf, root, rootfs, runtimes, scriptOutput, setUp, tearDown } from "./bench.ts"

const go = spawnSync("go", ["version"]).status === 0
const nginx = "/usr/sbin/nginx"
const hasNginx = spawnSync(nginx, ["-v"]).status === 0

beforeAll(() => {
  setUp()
  install(process.execPath, "/bin/node-under-test")
  if (go) {
    const source = createRequire(import.meta.url).resolve("./probe.go")
    const env = { ...process.env, CGO_ENABLED: "0", GO111MODULE: "off" }
    execFileSync("go", ["build", "-o", `${rootfs}/bin/probe`, source], { env })
  }
  if (hasNginx) {
    install(nginx)
    writeFileSync(
      `${rootfs}/etc/nginx.conf`,
      `user nobody nogroup; worker_processes 2; pid /tmp/nginx.pid; error_log /tmp/error.log;
       events {} http { access_log off; client_body_temp_path /tmp/a; proxy_temp_path /tmp/b; fastcgi_temp_path /tmp/c;
       uwsgi_temp_path /tmp/d; scgi_temp_path /tmp/e; server { listen 127.0.0.1:28471; return 200 "served\\n"; } }`
    )
  }
}, 120_000)
afterAll(tearDown)

const fields = (status: string): Readonly<Record<string, string>> =>
  Object.fromEntries(status.split("\n").map((line) => line.split(":\t") as [string, string]))
const capabilitiesOf = (mask: string | undefined) => [...namesOfMask(BigInt(`0x${mask}`))]

const ownMask = /^CapBnd:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]
const own = namesOfMask(BigInt(`0x${ownMask}`))

const defaults = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "SETGID",
  "SETUID",
  "SETPCAP",
  "NET_BIND_SERVICE"
]
  .map((name) => `CAP_${name}`)
  .sort()

describe.each(runtimes)("%s", (name) => {
  const layer = layerOf(name)
  const inside = (...given: Parameters<typeof scriptOutput>) => Effect.provide(scriptOutput(...given), layer)

  it.live("capabilities, seccomp and no_new_privs of the first process", () =>
    Effect.gen(function* () {
      const status = fields(yield* inside("cat /proc/self/status", { security: { noNewPrivs: true } }))
      for (const set of ["CapEff", "CapPrm", "CapBnd"]) {
        assert.deepStrictEqual(capabilitiesOf(status[set]).sort(), defaults, set)
      }
      assert.strictEqual(BigInt(`0x${status["CapInh"]}`), 0n)
      assert.strictEqual(BigInt(`0x${status["CapAmb"]}`), 0n)
      assert.deepStrictEqual([status["Seccomp"], status["NoNewPrivs"]], ["2", "1"])
    })
  )

  it.live("added, dropped and ambient capabilities", () =>
    Effect.gen(function* () {
      const capabilities = capability({
        addCapabilities: ["NET_RAW", "SYS_RESOURCE"],
        dropCapabilities: ["ALL"],
        addAmbientCapabilities: ["NET_BIND_SERVICE"]
      })
      const status = fields(
        yield* inside("cat /proc/self/status", { security: { capabilities, runAsUser: { value: 1000n } } })
      )
      const wanted = ["CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_RESOURCE"].filter((cap) => own.has(cap))
      assert.deepStrictEqual(capabilitiesOf(status["CapBnd"]).sort(), wanted.sort())
      assert.deepStrictEqual(capabilitiesOf(status["CapAmb"]), ["CAP_NET_BIND_SERVICE"])
      assert.deepStrictEqual(capabilitiesOf(status["CapEff"]), ["CAP_NET_BIND_SERVICE"])
    })
  )

  it.live("a privileged container has all the daemon has, and no confinement", () =>
    Effect.gen(function* () {
      const text = yield* inside(
        "cat /proc/self/status; ls /dev/net/tun /dev/loop0 /dev/kmsg 2>/dev/null | wc -l; cat /proc/timer_list | head -1 | wc -c; grep -c ' /proc/sys ' /proc/self/mounts; grep -c ' /sys sysfs rw' /proc/self/mounts",
        { security: { privileged: true } }
      )
      const status = fields(text)
      assert.deepStrictEqual(
        capabilitiesOf(status["CapEff"]),
        capabilityNames.filter((cap) => own.has(cap))
      )
      assert.strictEqual(status["Seccomp"], "0")
      const [devices, masked, readonlyPaths, writableSys] = text.trim().split("\n").slice(-4)
      assert.isAbove(Number(devices), 0)
      assert.isAbove(Number(masked), 0)
      assert.deepStrictEqual([readonlyPaths, writableSys], ["0", "1"])
    })
  )

  it.live("masked and read-only paths", () =>
    Effect.gen(function* () {
      const script =
        "cat /proc/timer_list | wc -c; ls /sys/firmware | wc -l; echo 1 2>/dev/null >/proc/sys/kernel/domainname || echo refused; touch /sys/x 2>/dev/null || echo refused"
      assert.deepStrictEqual(
        (yield* inside(script))
          .trim()
          .split("\n")
          .map((line) => line.trim()),
        ["0", "0", "refused", "refused"]
      )
    })
  )

  const users = [
    ["the image's root", {}, "", "uid=0(root) gid=0(root) groups=0(root)"],
    ["the image's user by name", {}, "alice", "uid=1000(alice) gid=1000(alice) groups=1000(alice),10(wheel)"],
    ["uid and gid of the image", {}, "5:7", "uid=5 gid=7 groups=7"],
    [
      "kubelet's over the image's",
      { runAsUser: { value: 1000n }, runAsGroup: { value: 33n }, supplementalGroups: [44n] },
      "root",
      "uid=1000(alice) gid=33 groups=33,44,10(wheel)"
    ],
    [
      "the strict policy",
      { runAsUsername: "alice", supplementalGroups: [44n], supplementalGroupsPolicy: 1 as const },
      "",
      "uid=1000(alice) gid=1000(alice) groups=1000(alice),44"
    ]
  ] as const

  it.live.each(users)("id: %s", ([, security, imageUser, expected]) =>
    Effect.gen(function* () {
      const groupsOf = (line: string) => {
        const [ids = "", groups = ""] = line.trim().split(" groups=")
        return [ids, groups.split(",").sort()]
      }
      const given = {
        security: {
          ...security,
          supplementalGroups: [
            ...((security as { supplementalGroups?: ReadonlyArray<bigint> }).supplementalGroups ?? [])
          ]
        },
        image: { User: imageUser }
      }
      assert.deepStrictEqual(groupsOf(yield* inside("id", given)), groupsOf(expected))
    })
  )

  it.live("environment, working directory, read-only root", () =>
    Effect.gen(function* () {
      const text = yield* inside(
        "env | sort; pwd; touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm",
        {
          config: { envs: [{ key: "GREETING", value: Buffer.from("grüß=dich") }], workingDir: "/made/by/runtime" },
          image: { Env: ["PATH=/bin", "A=image"], User: "alice" },
          security: { readonlyRootfs: false }
        }
      )
      assert.includeMembers(text.split("\n"), [
        "A=image",
        "HOME=/home/alice",
        "HOSTNAME=pod-1",
        "PATH=/bin",
        "/made/by/runtime"
      ])
      assert.include(text, "GREETING=grüß=dich")
      const readonly = yield* inside("touch /x 2>/dev/null || echo refused; touch /dev/shm/x && echo shm", {
        security: { readonlyRootfs: true }
      })
      assert.strictEqual(readonly, "refused\nshm\n")
    })
  )

  it.live("mounts: read-only, links resolved, missing sources made, parents first, volumes", () =>
    Effect.gen(function* () {
      const host = `${root}/host-${name}`
      mkdirSync(`${host}/real/below`, { recursive: true })
      writeFileSync(`${host}/real/file`, "content")
      symlinkSync("real", `${host}/link`)
      const text = yield* inside(
        "cat /mnt/a/file; touch /mnt/a/new 2>/dev/null || echo ' read-only'; touch /mnt/a/below/new && echo writable; touch /mnt/made/x && echo made; ls -d /data",
        {
          config: {
            mounts: [
              criMount({ hostPath: `${host}/missing`, containerPath: "/mnt/made" }),
              criMount({ hostPath: `${host}/real/below`, containerPath: "/mnt/a/below" }),
              criMount({ hostPath: `${host}/link`, containerPath: "/mnt/a", readonly: true })
            ]
          },
          image: { Volumes: { "/data": {} } }
        }
      )
      assert.deepStrictEqual(text.split("\n"), ["content read-only", "writable", "made", "/data", ""])
      assert.isTrue(readFileSync(`${host}/missing/x`).length === 0)
    })
  )

  it.live("recursive read-only reaches mounts below", () =>
    Effect.gen(function* () {
      const host = `${root}/rro-${name}`
      mkdirSync(`${host}/below`, { recursive: true })
      execFileSync("mount", ["-t", "tmpfs", "tmpfs", `${host}/below`])
      const mount = (recursiveReadOnly: boolean) =>
        criMount({
          hostPath: host,
          containerPath: "/mnt",
          readonly: true,
          recursiveReadOnly,
          propagation: MountPropagation.PROPAGATION_PRIVATE
        })
      const touch = (recursive: boolean) =>
        inside("touch /mnt/below/x 2>/dev/null && echo written || echo refused", {
          config: { mounts: [mount(recursive)] }
        })
      yield* Effect.ensuring(
        Effect.gen(function* () {
          assert.strictEqual(yield* touch(false), "written\n")
          assert.strictEqual(yield* touch(true), "refused\n")
        }),
        Effect.sync(() => execFileSync("umount", [`${host}/below`]))
      )
    })
  )

  it.live.runIf(go)("RuntimeDefault decides system calls as written", () =>
    Effect.gen(function* () {
      const text = yield* Effect.provide(outputOf(["/bin/probe"]), layer)
      const got = Object.fromEntries(
        text
          .trim()
          .split("\n")
          .map((line) => line.split(": ") as [string, string])
      )
      const allowed = ["AF_INET", "AF_UNIX", "AF_NETLINK"].map((family) => `socket ${family}`)
      for (const call of [...allowed, "unshare files", "personality query"]) assert.strictEqual(got[call], "ok", call)
      for (const call of ["socket AF_KCM-1", "ptrace", "process_vm_readv", "get_mempolicy"]) {
        assert.include(["ok", "passed"], got[call], call)
      }
      for (const call of ["clone3", "number 4000", "io_uring_setup", "open_tree", "userfaultfd"]) {
        assert.strictEqual(got[call], "ENOSYS", call)
      }
      // For a libseccomp without a name for them they do not exist, rather than fail.
      for (const call of ["fchmodat2", "mseal"]) assert.include(["ENOSYS", "passed"], got[call], call)
      const denied = Object.keys(got).filter((call) => got[call] === "EPERM")
      assert.deepStrictEqual(
        denied.sort(),
        "add_key|bpf|chroot|clone user|init_module|kexec_load|keyctl|mount|perf_event_open|personality no randomize|setns|settimeofday|socket AF_ALG|socket AF_ALG with high bits|socket AF_VSOCK|unshare time|unshare user".split(
          "|"
        )
      )
    })
  )

  it.live("Node runs under RuntimeDefault: threads, sockets, files, children", () =>
    Effect.gen(function* () {
      const program = `
        const { Worker } = require("node:worker_threads"), { execFileSync } = require("node:child_process"), http = require("node:http"), fs = require("node:fs")
        fs.writeFileSync("/tmp/file", "x"); fs.watch("/tmp").close()
        const server = http.createServer((_q, r) => r.end("page")).listen(0, "127.0.0.1", async () => {
          const page = await (await fetch("http://127.0.0.1:" + server.address().port)).text()
          const worker = await new Promise((done) => new Worker("require('node:worker_threads').parentPort.postMessage('worker')", { eval: true }).on("message", done))
          console.log(page, worker, String(execFileSync("/bin/echo", ["child"])).trim()); process.exit(0)
        })`
      assert.strictEqual(
        yield* Effect.provide(outputOf(["/bin/node-under-test", "-e", program]), layer),
        "page worker child\n"
      )
    })
  )

  it.live.runIf(hasNginx)("nginx serves under RuntimeDefault", () =>
    Effect.gen(function* () {
      const script = `echo nobody:x:65534:65534::/: >>/etc/passwd; echo nogroup:x:65534: >>/etc/group
        mkdir -p /var/log/nginx /var/lib/nginx
        ${nginx} -c /etc/nginx.conf -e /tmp/error.log || cat /tmp/error.log
        for i in 1 2 3 4 5 6 7 8 9; do wget -q -O - http://127.0.0.1:28471/ && break; sleep 0.3; done; ${nginx} -c /etc/nginx.conf -s stop -e /tmp/error.log`
      assert.strictEqual(yield* inside(script), "served\n")
    })
  )
})
