/**
 * The floor: what a pod costs when nobody keeps books. The same network plugins, monitor, runtime, namespaces and mounts
 * as Cricket's, with the specification that Cricket made, and nothing that survives a crash.
 */
import { Effect, Layer, ManagedRuntime, Stream } from "effect"
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { Mounts } from "../src/linux/Mounts.ts"
import { Namespaces } from "../src/linux/Namespaces.ts"
import { Processes } from "../src/linux/Processes.ts"
import type { Contestant } from "./Contestant.ts"
import type { Specification } from "./cricket.ts"
import { processesWith } from "./processes.ts"

export interface FloorOptions {
  /** Of its own; `run` in it is on tmpfs. */
  readonly directory: string
  /** Cricket's, whose places in the specification become those below `directory`. */
  readonly cricketDirectory: string
  /** The unpacked image. */
  readonly rootfs: string
  readonly runtime: string
  readonly network: number
  readonly specification: () => Specification | undefined
}

const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" }
const SIGKILL = 9

const networkOf = (directory: string, network: number) => {
  const common = { cniVersion: "1.0.0", name: `floor${network}` }
  const ranges = [[{ subnet: `10.213.${network}.0/24` }]]
  const ipam = { type: "host-local", dataDir: `${directory}/leases`, ranges, routes: [{ dst: "0.0.0.0/0" }] }
  const bridge = { type: "bridge", bridge: `floor${network}`, isGateway: true, ipMasq: false, hairpinMode: true, ipam }
  return [
    { ...common, ...bridge },
    { ...common, type: "portmap", runtimeConfig: { portMappings: [] } }
  ]
}

const run = Effect.fnUntraced(function* (
  path: string,
  args: ReadonlyArray<string>,
  extra: { readonly env?: Readonly<Record<string, string>>; readonly stdin?: string } = {}
) {
  const processes = yield* Processes
  const { code, stdout, stderr } = yield* processes.run({
    path,
    args,
    env: { ...env, ...extra.env },
    ...(extra.stdin === undefined ? {} : { stdin: Buffer.from(extra.stdin) })
  })
  const text = Buffer.from(stdout).toString()
  if (code !== 0) throw new Error(`${path} ${args.join(" ")}: ${text}${Buffer.from(stderr).toString()}`)
  return text
})

const plugin = (verb: string, pod: string, netns: string, config: { readonly type: string }) =>
  run(`/usr/lib/cni/${config.type}`, [], {
    env: {
      GOMAXPROCS: "1",
      CNI_COMMAND: verb,
      CNI_CONTAINERID: pod,
      CNI_NETNS: netns,
      CNI_IFNAME: "eth0",
      CNI_ARGS: "",
      CNI_PATH: "/usr/lib/cni"
    },
    stdin: JSON.stringify(config)
  })

const conmon = Effect.fnUntraced(function* (bundle: string, id: string, options: ReadonlyArray<string>) {
  const processes = yield* Processes
  const child = yield* processes.spawn({
    path: "/usr/bin/conmon",
    args: ["-c", id, "-u", id, "-n", id, "-b", bundle, ...options],
    env: { ...env, _OCI_SYNCPIPE: "3", _OCI_STARTPIPE: "4" },
    cwd: bundle,
    fds: ["null", "null", "null", "output", "input"],
    newSession: true
  })
  yield* child.write(4, new Uint8Array(1))
  yield* child.close(4)
  const report = yield* child.output(3).pipe(Stream.decodeText, Stream.splitLines, Stream.take(1), Stream.mkString)
  yield* child.exit
  const { pid } = JSON.parse(report) as { readonly pid: number }
  if (pid <= 0) throw new Error(`conmon: ${report}`)
  return pid
}, Effect.scoped)

export const makeFloor = (options: FloorOptions): Contestant => {
  const { directory, cricketDirectory, rootfs, network } = options
  const runtime = `/usr/${existsSync(`/usr/sbin/${options.runtime}`) ? "sbin" : "bin"}/${options.runtime}`
  const runtimeRoot = `${directory}/run/${options.runtime}`
  const plugins = networkOf(directory, network)
  const exits = `${directory}/run/exits`
  const sockets = `${directory}/run/attach`
  for (const path of [`${directory}/layers`, `${directory}/logs`, runtimeRoot, exits, sockets]) {
    mkdirSync(path, { recursive: true })
  }
  const seam = ManagedRuntime.make(Layer.mergeAll(Mounts.layer, Namespaces.layer, Processes.layer))
  let running = ""

  const pod: Contestant["pod"] = (number) => {
    const specification = options.specification()
    if (specification === undefined) throw new Error("Cricket's first pod comes before the floor's")
    const podId = `f${number}`.padStart(64, "0")
    const id = `e${number}`.padStart(64, "0")
    const text = specification.text
      .replaceAll(cricketDirectory, directory)
      .replaceAll(specification.podSandboxId, podId)
      .replaceAll(specification.containerId, id)
    const spec = JSON.parse(text) as { readonly root: { path: string }; readonly process: { args: unknown } }
    const podDirectory = `${directory}/run/cricket/pods/${podId}`
    const bundle = `${directory}/run/overlay-containers/${id}/userdata`
    const layer = `${directory}/layers/${id}`
    const pins = (["net", "uts", "ipc"] as const).map((kind) => ({
      kind,
      path: `${directory}/run/${kind}ns/${podId}`
    }))
    const netns = pins[0]?.path ?? ""
    let init = 0

    const network = Effect.gen(function* () {
      let prevResult: unknown
      for (const config of plugins) {
        prevResult = JSON.parse(
          yield* plugin("ADD", podId, netns, { ...config, ...(prevResult ? { prevResult } : {}) })
        )
      }
    })
    const podFiles = Effect.gen(function* () {
      const mounts = yield* Mounts
      mkdirSync(`${podDirectory}/shm`, { recursive: true })
      writeFileSync(`${podDirectory}/hostname`, "bench\n")
      writeFileSync(`${podDirectory}/resolv.conf`, "nameserver 192.0.2.1\n")
      const data = "mode=1777,size=67108864"
      const flags = ["nosuid", "nodev", "noexec"] as const
      yield* mounts.mount({ source: "shm", target: `${podDirectory}/shm`, type: "tmpfs", flags, data })
    })

    const runPod = Effect.gen(function* () {
      const namespaces = yield* Namespaces
      for (const { kind, path } of pins) {
        mkdirSync(`${directory}/run/${kind}ns`, { recursive: true })
        closeSync(openSync(path, "w"))
      }
      yield* namespaces.pin({ namespaces: pins, hostname: "bench", sysctls: [] })
      yield* Effect.all([network, podFiles], { concurrency: 2 })
    })

    const create = Effect.gen(function* () {
      const mounts = yield* Mounts
      for (const name of ["diff", "work", "merged"]) mkdirSync(`${layer}/${name}`, { recursive: true })
      mkdirSync(bundle, { recursive: true })
      const data = `lowerdir=${rootfs},upperdir=${layer}/diff,workdir=${layer}/work`
      yield* mounts.mount({ source: "overlay", target: `${layer}/merged`, type: "overlay", flags: [], data })
      spec.root.path = `${layer}/merged`
      writeFileSync(`${bundle}/config.json`, JSON.stringify(spec))
      init = yield* conmon(bundle, id, [
        "--log-level=error",
        "--syslog",
        `--log-path=${directory}/logs/${id}.log`,
        `--conmon-pidfile=${bundle}/conmon-pidfile`,
        `--container-pidfile=${bundle}/pidfile`,
        `--exit-dir=${exits}`,
        `--persist-dir=${bundle}`,
        `--socket-dir-path=${sockets}`,
        `--runtime=${runtime}`,
        `--runtime-arg=--root=${runtimeRoot}`
      ])
      running = id
    })

    const exec = Effect.gen(function* () {
      const process = { ...(spec.process as object), args: ["/bin/true"] }
      writeFileSync(`${bundle}/exec.json`, JSON.stringify(process))
      yield* run(runtime, ["--root", runtimeRoot, "exec", "--process", `${bundle}/exec.json`, id])
    })

    const teardown = Effect.gen(function* () {
      const mounts = yield* Mounts
      const namespaces = yield* Namespaces
      process.kill(init, SIGKILL)
      yield* Effect.promise(async () => {
        while (!existsSync(`${exits}/${id}`)) await sleep(1)
      })
      yield* run(runtime, ["--root", runtimeRoot, "delete", id])
      yield* mounts.unmount(`${layer}/merged`)
      for (const config of plugins.toReversed()) yield* plugin("DEL", podId, netns, config)
      for (const { path } of pins) yield* namespaces.unpin(path)
      yield* mounts.unmount(`${podDirectory}/shm`)
      for (const path of [layer, bundle, podDirectory, `${exits}/${id}`]) rmSync(path, { recursive: true })
    })

    return {
      RunPodSandbox: () => seam.runPromise(runPod),
      CreateContainer: () => seam.runPromise(create),
      StartContainer: () => seam.runPromise(run(runtime, ["--root", runtimeRoot, "start", id])),
      ExecSync: () => seam.runPromise(exec),
      teardown: () => seam.runPromise(teardown)
    }
  }

  return {
    name: "floor",
    pod,
    companions: () => processesWith((argv) => argv[0]?.endsWith("conmon") === true && argv.includes(running)),
    close: () => seam.dispose()
  }
}
