/** What the options of a runtime handler do to the pods that name it, at the daemon as a process. Needs root. */
import { execFileSync } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { codeOf, removeAllPods } from "../../../scripts/lib/criClient.ts"
import { preparePlace, type RunningDaemon, startDaemon } from "../../../scripts/lib/daemon.ts"
import { importBusybox } from "../../../scripts/lib/importImage.ts"
import { ContainerState, NamespaceMode, SecurityProfile_ProfileType } from "../../../src/gen/runtime/v1/api.ts"

const image = "localhost/handlers:1"
const namespaceOptions = { network: NamespaceMode.NODE, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }
const directory = mkdtempSync(`${tmpdir()}/cricket-handlers-`)
const program = execFileSync("sh", ["-c", "command -v crun"], { encoding: "utf8" }).trim()
const mib = 1024 * 1024
let daemon: RunningDaemon
let pods = 0

/** The runtime, which shows what it was to execute. */
const watching = `${directory}/watching-runtime`
const broken = `${directory}/broken-runtime`
/** crun as it was before it had `features`. */
const aged = `${directory}/aged-runtime`
const noMkdir = `${directory}/no-mkdir.json`

const configuration = `[crio.runtime.runtimes.special]
runtime_path = "${program}"
runtime_root = "${directory}/special"
monitor_cgroup = ""
monitor_env = ["SPECIAL=of the handler", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
no_sync_log = true
privileged_without_host_devices = true
container_min_memory = "96MiB"
default_annotations = { "example.com/given" = "by the handler", "example.com/own" = "by the handler" }
allowed_annotations = ["run.oci.handler", "org.systemd.property.", "shm-size.crio.io", "umask.crio.io", "devices.crio.io"]
seccomp_profile = "${noMkdir}"
[crio.runtime.runtimes.watched]
runtime_path = "${watching}"
runtime_root = "${directory}/watched"
monitor_cgroup = ""
exec_cpu_affinity = "first"
[crio.runtime.runtimes.heir]
inherit_default_runtime = true
monitor_cgroup = ""
[crio.runtime.runtimes.absent]
runtime_path = "${directory}/none"
[crio.runtime.runtimes.broken]
runtime_path = "${broken}"
[crio.runtime.runtimes.unconfined]
inherit_default_runtime = true
monitor_cgroup = ""
seccomp_profile = "${directory}/none.json"
[crio.runtime.runtimes.sliced]
inherit_default_runtime = true
monitor_cgroup = "machine.slice"
[crio.runtime.runtimes.aged]
runtime_path = "${aged}"
runtime_root = "${directory}/aged"
monitor_cgroup = ""
[crio.runtime.runtimes.kata]
runtime_type = "vm"
runtime_path = "${program}"
`

beforeAll(async () => {
  writeFileSync(
    watching,
    `#!/bin/sh\ncase "$*" in *" exec --process "*) cat /proc/self/fd/3 >${directory}/executed;; esac\nexec ${program} "$@"\n`
  )
  writeFileSync(broken, "#!/bin/sh\necho 'libyajl.so.2: cannot open shared object file' >&2\nexit 127\n")
  writeFileSync(
    aged,
    `#!/bin/sh\ncase "$1" in\n--version) echo crun version 1.4.5;;\nfeatures) exit 1;;\n*) exec ${program} "$@";;\nesac\n`
  )
  for (const script of [watching, broken, aged]) chmodSync(script, 0o755)
  writeFileSync(
    noMkdir,
    JSON.stringify({
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 28 }]
    })
  )
  const place = preparePlace({ directory, runtime: "crun", network: 92, configuration })
  await importBusybox(place, { name: image })
  daemon = await startDaemon(place)
}, 60_000)

afterAll(async () => {
  await removeAllPods(daemon.client)
  await daemon.stop()
  rmSync(directory, { recursive: true })
}, 60_000)

const runPod = async (runtimeHandler: string, privileged = false, annotations: Record<string, string> = {}) => {
  const metadata = { name: "handlers", namespace: "default", uid: `uid-${pods++}`, attempt: 0 }
  const config = {
    metadata,
    logDirectory: `${directory}/logs`,
    annotations,
    linux: { securityContext: { namespaceOptions, privileged } }
  }
  mkdirSync(`${directory}/logs`, { recursive: true })
  return (await daemon.client.runPodSandbox({ config, runtimeHandler })).podSandboxId
}

interface Asked {
  readonly privileged?: boolean
  readonly seccomp?: { readonly profileType: SecurityProfile_ProfileType; readonly localhostRef: string }
  readonly resources?: { readonly memoryLimitInBytes?: number; readonly cpusetCpus?: string }
  readonly annotations?: Readonly<Record<string, string>>
}

const create = async (podSandboxId: string, { resources, annotations = {}, ...context }: Asked = {}) => {
  const { containerId } = await daemon.client.createContainer({
    podSandboxId,
    config: {
      metadata: { name: `c${pods++}`, attempt: 0 },
      image: { image, userSpecifiedImage: image },
      command: ["sleep", "100000"],
      annotations,
      linux: { securityContext: { namespaceOptions, ...context }, ...(resources === undefined ? {} : { resources }) }
    }
  })
  return containerId
}

const start = async (handler: string, asked: Asked = {}) => {
  const containerId = await create(await runPod(handler, asked.privileged), asked)
  await daemon.client.startContainer({ containerId })
  return containerId
}

const bundleOf = (containerId: string) => `${daemon.place.runroot}/overlay-containers/${containerId}/userdata`
const annotationsOf = (containerId: string): Record<string, string> =>
  JSON.parse(readFileSync(`${bundleOf(containerId)}/config.json`, "utf8")).annotations

const run = async (containerId: string, script: string) => {
  const { stdout } = await daemon.client.execSync({ containerId, cmd: ["sh", "-c", `${script} 2>&1`], timeout: 20 })
  return Buffer.from(stdout).toString().trim()
}

const refusal = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => expect.fail("it succeeded"),
    (cause: unknown) => cause
  )
  return `${codeOf(error)} ${(error as Error).message}`
}

describe("options of a runtime handler", () => {
  it("runtime_root keeps its containers apart", async () => {
    const special = await start("special")
    const ordinary = await start("")
    expect([existsSync(`${directory}/special/${special}`), existsSync(`${directory}/special/${ordinary}`)]).toEqual([
      true,
      false
    ])
    await daemon.client.removeContainer({ containerId: special })
    expect(existsSync(`${directory}/special/${special}`)).toBe(false)
  }, 30_000)

  it("monitor_env and no_sync_log reach conmon", async () => {
    const monitorOf = (containerId: string) => {
      const pid = readFileSync(`${bundleOf(containerId)}/conmon-pidfile`, "utf8").trim()
      const list = (name: string) => readFileSync(`/proc/${pid}/${name}`, "utf8").split("\0")
      return { environment: list("environ"), arguments: list("cmdline") }
    }
    const special = monitorOf(await start("special"))
    expect(special.environment).toContain("SPECIAL=of the handler")
    expect(special.arguments).toContain("--no-sync-log")
    const ordinary = monitorOf(await start(""))
    expect(ordinary.environment.filter((entry) => entry.startsWith("SPECIAL="))).toEqual([])
    expect(ordinary.arguments).not.toContain("--no-sync-log")
  }, 30_000)

  it("privileged_without_host_devices leaves the host's devices to the host", async () => {
    const look = "ls /dev/kmsg >/dev/null 2>&1 && echo there || echo not there; grep CapEff /proc/self/status | cut -f2"
    const [own] = /(?<=CapBnd:\t)\w+/.exec(readFileSync(`/proc/${daemon.process.pid}/status`, "utf8")) ?? []
    expect(await run(await start("", { privileged: true }), look)).toBe(`there\n${own}`)
    expect(await run(await start("special", { privileged: true }), look)).toBe(`not there\n${own}`)
  }, 30_000)

  it("container_min_memory refuses smaller limits", async () => {
    const resources = { memoryLimitInBytes: 64 * mib }
    expect(await refusal(create(await runPod("special"), { resources }))).toMatch(
      /^INVALID_ARGUMENT .*memory limit 67108864 too low; should be at least 100663296 bytes/
    )
    await create(await runPod("special"), { resources: { memoryLimitInBytes: 96 * mib } })
    await create(await runPod(""), { resources })
  }, 30_000)

  it("default_annotations stand in the specification unless the pod has them, allowed_annotations let pods' own in", async () => {
    const annotations = {
      "example.com/own": "by the pod",
      "run.oci.handler": "crun",
      "org.systemd.property.TimeoutStopUSec": "1",
      "org.criu.config": "/etc/passwd"
    }
    const special = annotationsOf(await create(await runPod("special"), { annotations }))
    expect(special).toMatchObject({
      "example.com/given": "by the handler",
      "example.com/own": "by the pod",
      "run.oci.handler": "crun",
      "org.systemd.property.TimeoutStopUSec": "1"
    })
    expect(special).not.toHaveProperty(["org.criu.config"])
    const ordinary = annotationsOf(await create(await runPod(""), { annotations }))
    expect(ordinary).toMatchObject({ "example.com/own": "by the pod" })
    for (const name of ["example.com/given", "run.oci.handler", "org.systemd.property.TimeoutStopUSec"]) {
      expect(ordinary).not.toHaveProperty([name])
    }
  }, 30_000)

  it("allowed_annotations let a pod have devices, a umask and shared memory as it asks", async () => {
    const annotations = {
      "devices.crio.io": "/dev/fuse:/dev/of-the-pod:r",
      "umask.crio.io": "0027",
      "io.kubernetes.cri-o.ShmSize": "96Mi"
    }
    const look = "stat -c %t:%T /dev/of-the-pod || echo none; umask; df -m /dev/shm | tail -1 | awk '{ print $2 }'"
    const inPod = async (handler: string) => {
      const containerId = await create(await runPod(handler, false, annotations))
      await daemon.client.startContainer({ containerId })
      return (await run(containerId, `(${look})`)).split("\n").slice(-3)
    }
    expect(await inPod("special")).toEqual(["a:e5", "0027", "96"])
    // What the built-in handler of crun lets in is devices alone.
    expect(await inPod("")).toEqual(["a:e5", "0022", "64"])
    expect(await inPod("runc")).toEqual(["none", "0022", "64"])
    expect(await refusal(runPod("special", false, { "shm-size.crio.io": "much" }))).toMatch(
      /^INVALID_ARGUMENT .*annotation shm-size\.crio\.io: "much" is not a size/
    )
    const pod = await runPod("special", false, { "devices.crio.io": "/dev/kmsg" })
    expect(await refusal(create(pod))).toMatch(
      /^INVALID_ARGUMENT .*\/dev\/kmsg is not one of allowed_devices: \/dev\/fuse/
    )
  }, 30_000)

  it("exec_cpu_affinity asks the runtime to pin execs to the first of the container's processors", async () => {
    const executed = async (resources?: Asked["resources"]) => {
      const containerId = await start("watched", resources === undefined ? {} : { resources })
      expect(await run(containerId, "echo ran")).toBe("ran")
      return JSON.parse(readFileSync(`${directory}/executed`, "utf8"))
    }
    expect(await executed({ cpusetCpus: "1,0" })).toMatchObject({ execCPUAffinity: { initial: "0", final: "0" } })
    expect(await executed()).not.toHaveProperty("execCPUAffinity")
  }, 30_000)

  it("seccomp_profile is what RuntimeDefault stands for", async () => {
    const seccomp = { profileType: SecurityProfile_ProfileType.RuntimeDefault, localhostRef: "" }
    expect(await run(await start("special", { seccomp }), "mkdir /tmp/x")).toContain("No space left on device")
    expect(await run(await start("", { seccomp }), "mkdir /tmp/x && echo made")).toBe("made")
  }, 30_000)

  it("inherit_default_runtime takes the default handler's program and root", async () => {
    const heir = await start("heir")
    expect(existsSync(`${daemon.place.runroot}/crun/${heir}`)).toBe(true)
    const { status } = await daemon.client.containerStatus({ containerId: heir })
    expect(status?.state).toBe(ContainerState.CONTAINER_RUNNING)
  }, 30_000)
})

describe("handlers that cannot be used", () => {
  it("are left out with a warning that says why; a pod that names one is refused with those that there are", async () => {
    const { runtimeHandlers } = await daemon.client.status({})
    expect(runtimeHandlers.map(({ name }) => name).sort()).toEqual([
      "",
      "aged",
      "crun",
      "heir",
      "runc",
      "special",
      "watched"
    ])
    const log = readFileSync(`${directory}/cricket.log`, "utf8")
    expect(log).toMatch(/runtime handler absent: \S+\/none is not an executable file.* it is left out/)
    expect(log).toMatch(/runtime handler kata: runtime_type vm is not built.* it is left out/)
    expect(log).toMatch(
      /runtime handler broken: \S+ --version ended with exit code 127: libyajl\.so\.2: cannot open .* it is left out/
    )
    expect(log).toMatch(
      /runtime handler unconfined: seccomp_profile \S+\/none\.json cannot be read: ENOENT; it is left/
    )
    expect(log).toMatch(
      /runtime handler sliced: monitor_cgroup machine\.slice is a slice of systemd, but .* it is left out/
    )
    for (const name of ["absent", "broken", "kata", "sliced", "unconfined", "unheard-of"]) {
      expect(await refusal(runPod(name))).toMatch(
        new RegExp(`^INVALID_ARGUMENT .*no runtime handler "${name}"; configured and usable: crun, .*special`)
      )
    }
  })

  it("each that can be used is told with its version and what it can, one that is old with a warning", async () => {
    const log = readFileSync(`${directory}/cricket.log`, "utf8")
    expect(log).toMatch(/level=info msg="runtime handler crun: \S+\/crun [\d.]+, by its (features|version) with /)
    expect(log).toMatch(/level=warning msg="runtime handler aged: \S+ 1\.4\.5 is older than 1\.8, the oldest crun/)
    expect(log).toMatch(/level=info msg="runtime handler aged: \S+ 1\.4\.5, by its version with user namespaces and/)
    expect(await run(await start("aged"), "echo ran")).toBe("ran")
  }, 30_000)
})
