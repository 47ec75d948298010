/** Containers of this machine's programs, by real OCI runtimes, from specifications that Cricket made. */
import { Effect, Layer } from "effect"
import { execFileSync, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { posix } from "node:path"
import { defaultSettings } from "../../../src/config/document.ts"
import type { ContainerConfig, LinuxContainerSecurityContext } from "../../../src/gen/runtime/v1/api.ts"
import { Files } from "../../../src/linux/Files.ts"
import { Mounts } from "../../../src/linux/Mounts.ts"
import { Processes } from "../../../src/linux/Processes.ts"
import { Sockets } from "../../../src/linux/Sockets.ts"
import { encodeRuntimeSpec, type RuntimeSpec } from "../../../src/model/RuntimeSpec.ts"
import { ContainerSpecs, type ContainerSpecSettings } from "../../../src/oci/ContainerSpecs.ts"
import { HostFacts } from "../../../src/oci/HostFacts.ts"
import { globalArguments, OciRuntime, runtimeEnvironment } from "../../../src/oci/OciRuntime.ts"
import { type RuntimeHandler, RuntimeHandlers } from "../../../src/oci/RuntimeHandlers.ts"
import type { ImageDefaults } from "../../../src/oci/spec/input.ts"
import type { PodNamespaces } from "../../../src/oci/spec/namespaces.ts"
import { containerConfig, containerResources, linuxConfig, securityContext } from "../../oci/requests.ts"

export const runtimes = ["crun", "runc"].filter((name) => spawnSync("sh", ["-c", `command -v ${name}`]).status === 0)

export const root = mkdtempSync("/tmp/cricket-oci-")
export const rootfs = `${root}/rootfs`

/** A program with its libraries at the same places of the root file system. */
export const install = (program: string, destination = program) => {
  const libraries =
    spawnSync("ldd", [program], { encoding: "utf8" })
      .stdout.match(/\/\S+/g)
      ?.filter((path) => path !== `${program}:`) ?? []
  for (const [from, to] of [[program, destination] as const, ...libraries.map((path) => [path, path] as const)]) {
    mkdirSync(posix.dirname(rootfs + to), { recursive: true })
    copyFileSync(from, rootfs + to)
  }
}

const makeRootfs = () => {
  install("/bin/busybox")
  for (const directory of ["proc", "dev", "sys", "tmp", "etc", "run", "var/tmp"]) {
    mkdirSync(`${rootfs}/${directory}`, { recursive: true })
  }
  execFileSync("chroot", [rootfs, "/bin/busybox", "--install", "-s", "/bin"])
  writeFileSync(`${rootfs}/etc/passwd`, "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n")
  writeFileSync(`${rootfs}/etc/group`, "root:x:0:\nalice:x:1000:\nwheel:x:10:alice\nother:x:11:bob\n")
}

// crun refuses cgroups of which some controllers are on v2: it gets a mount namespace that does not show them.
const runtimePath = (name: string): string => {
  const path = execFileSync("sh", ["-c", `command -v ${name}`], { encoding: "utf8" }).trim()
  if (name !== "crun" || !existsSync("/sys/fs/cgroup/unified")) return path
  const wrapper = `${root}/crun-v1`
  const script = `umount /sys/fs/cgroup/unified; exec ${path} "$@"`
  writeFileSync(wrapper, `#!/bin/sh\nexec unshare -m --propagation slave sh -c '${script}' sh "$@"\n`)
  chmodSync(wrapper, 0o755)
  return wrapper
}

export const setUp = () => makeRootfs()
export const tearDown = () => {
  rmSync(root, { recursive: true, force: true })
  // The parent of the containers' cgroups; another file's containers may still be in it.
  spawnSync("sh", ["-c", "rmdir /sys/fs/cgroup/cricket-oci /sys/fs/cgroup/*/cricket-oci 2>/dev/null"])
}

export const settings: ContainerSpecSettings = { ...defaultSettings.runtime, ...defaultSettings.image }

const options = { systemdCgroup: false, directory: `${root}/exec`, xdgRuntimeDirectory: "" }

export const layerOf = (name: string, changes: Partial<ContainerSpecSettings> = {}) => {
  const configured = defaultSettings.runtime.runtimes[name]
  if (configured === undefined) throw new Error(`no handler ${name}`)
  const table = () => ({
    ...defaultSettings.runtime,
    default_runtime: name,
    runtimes: { [name]: { ...configured, runtime_path: runtimePath(name), runtime_root: `${root}/${name}` } }
  })
  return Layer.mergeAll(
    Layer.unwrap(Effect.sync(() => RuntimeHandlers.layer(table()))),
    ContainerSpecs.layer({ ...settings, ...changes }),
    OciRuntime.layer(options)
  ).pipe(
    Layer.provideMerge(HostFacts.layer),
    Layer.provideMerge(Layer.mergeAll(Files.layer, Mounts.layer, Processes.layer, Sockets.layer))
  )
}

const image: ImageDefaults = { User: "", Env: [], Entrypoint: [], Cmd: [], WorkingDir: "", Volumes: {} }

/** What kubelet sends for a container without a security context of its own. */
export const kubeletContext: Partial<LinuxContainerSecurityContext> = {
  maskedPaths: [
    "/proc/asound",
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/timer_list",
    "/proc/scsi",
    "/sys/firmware"
  ],
  readonlyPaths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
  seccomp: { profileType: 0, localhostRef: "" }
}

export interface Wanted {
  readonly config?: Partial<ContainerConfig>
  readonly security?: Partial<LinuxContainerSecurityContext>
  readonly image?: Partial<ImageDefaults>
  readonly namespaces?: Partial<PodNamespaces>
}

export interface Started {
  readonly id: string
  readonly handler: RuntimeHandler
  readonly spec: RuntimeSpec
  readonly output: () => string
}

const hostNamespaces: PodNamespaces = {
  network: undefined,
  ipc: undefined,
  uts: undefined,
  user: undefined,
  pausePid: undefined,
  targetPid: undefined
}

/** A bundle in `${root}/${id}`; the container is deleted with the scope. */
const createFrom = Effect.fnUntraced(function* (spec: RuntimeSpec, handler: RuntimeHandler, id: string) {
  const runtime = yield* OciRuntime
  const bundle = `${root}/${id}`
  writeFileSync(`${bundle}/config.json`, encodeRuntimeSpec(spec))
  const output = openSync(`${bundle}/output`, "w")
  const created = spawnSync(handler.path, [...globalArguments(handler, options), "create", "--bundle", bundle, id], {
    stdio: ["ignore", output, output],
    env: runtimeEnvironment(options)
  })
  closeSync(output)
  const text = () => readFileSync(`${bundle}/output`, "utf8")
  yield* Effect.addFinalizer(() =>
    Effect.gen(function* () {
      yield* runtime.kill(handler, id, 9)
      for (let round = 0; round < 200; round++) {
        if ((yield* runtime.state(handler, id)).status === "stopped") break
        yield* Effect.sleep("25 millis")
      }
      yield* runtime.delete(handler, id)
    }).pipe(Effect.ignore)
  )
  if (created.status !== 0) return yield* Effect.die(new Error(`${handler.name} create: ${text()}`))
  return { id, handler, spec, output: text } satisfies Started
})

/** Starts a pause container that runs `command`. */
export const startPause = Effect.fnUntraced(function* (command: ReadonlyArray<string>) {
  const handler = yield* (yield* RuntimeHandlers).get("")
  const id = `cricket-oci-${randomBytes(6).toString("hex")}`
  mkdirSync(`${root}/${id}/shm`, { recursive: true })
  const { spec } = yield* (yield* ContainerSpecs).pause({
    id,
    command,
    image: { ...image, User: "65535:65535" },
    handler,
    rootfs,
    cgroupsPath: `/cricket-oci/${id}`,
    securityContext: undefined,
    namespaces: { network: "host", ipc: "host", uts: "host", user: undefined },
    sharedMemory: `${root}/${id}/shm`
  })
  const container = yield* createFrom(spec, handler, id)
  yield* (yield* OciRuntime).start(handler, id)
  return container
})

/** Creates a container (not started); deleted with the scope. */
export const create = Effect.fnUntraced(function* (args: ReadonlyArray<string>, wanted: Wanted = {}) {
  const specs = yield* ContainerSpecs
  const handler = yield* (yield* RuntimeHandlers).get("")
  const id = `cricket-oci-${randomBytes(6).toString("hex")}`
  const bundle = `${root}/${id}`
  mkdirSync(`${bundle}/shm`, { recursive: true })
  const { spec } = yield* specs.container({
    id,
    sandboxId: "sandbox",
    config: containerConfig({
      metadata: { name: "test", attempt: 0 },
      command: [...args],
      ...wanted.config,
      linux: linuxConfig({
        resources: containerResources({ memoryLimitInBytes: 256n * 1024n * 1024n, cpuShares: 100n }),
        securityContext: securityContext({ ...kubeletContext, ...wanted.security })
      })
    }),
    image: { ...image, ...wanted.image },
    handler,
    rootfs,
    cgroupsPath: `/cricket-oci/${id}`,
    hostname: "pod-1",
    namespaces: { ...hostNamespaces, ...wanted.namespaces },
    podFiles: { hostname: undefined, resolvConf: undefined, sharedMemory: `${bundle}/shm` },
    volumeDirectory: `${bundle}/volumes`
  })
  return yield* createFrom(spec, handler, id)
})

/** Creates and starts a container. */
export const start = Effect.fnUntraced(function* (args: ReadonlyArray<string>, wanted: Wanted = {}) {
  const container = yield* create(args, wanted)
  yield* (yield* OciRuntime).start(container.handler, container.id)
  return container
})

/** Runs a shell script to its end and answers what it printed. */
export const outputOf = Effect.fnUntraced(function* (args: ReadonlyArray<string>, wanted: Wanted = {}) {
  const runtime = yield* OciRuntime
  const { handler, id, output } = yield* start(args, wanted)
  for (let round = 0; round < 800; round++) {
    if ((yield* runtime.state(handler, id)).status === "stopped") return output()
    yield* Effect.sleep("25 millis")
  }
  return yield* Effect.die(new Error(`still runs after 20 s; so far: ${output()}`))
}, Effect.scoped)

export const scriptOutput = (script: string, wanted: Wanted = {}) => outputOf(["/bin/sh", "-c", script], wanted)
