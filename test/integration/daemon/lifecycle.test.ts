/** States, signals, exits and kubelet's retries as a client sees them, with parts that wait or fail when they are told to. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { setTimeout as sleep } from "node:timers/promises"
import { codeOf } from "../../../scripts/lib/criClient.ts"
import { ContainerState, PodSandboxState, Signal } from "../../../src/gen/runtime/v1/api.ts"
import { image, Site } from "../faults/Site.ts"

const network = 82
let site: Site

beforeAll(async () => {
  site = new Site(network)
  await site.prepareImage()
  await site.start()
  await site.warmUp()
}, 60_000)

afterEach(async () => {
  site.wrappers.disarm()
  await site.cleanUp()
}, 60_000)

afterAll(async () => {
  await site?.end()
}, 60_000)

const failure = async (call: Promise<unknown>) => {
  const error = await call.then(
    () => expect.fail("it succeeded"),
    (cause: unknown) => cause
  )
  return { code: codeOf(error), message: (error as Error).message }
}

const eventually = async <A>(what: string, look: () => Promise<A | undefined> | A | undefined): Promise<A> => {
  for (let tries = 0; tries < 200; tries++) {
    const found = await look()
    if (found !== undefined && found !== false) return found
    await sleep(50)
  }
  return expect.fail(`${what}: not within 10 s`)
}

const leases = () => readdirSync(`${site.directory}/leases/pods${network}`).filter((name) => name.startsWith("10."))
const struck = () => eventually("the fault has struck", () => readStruck())
const readStruck = () => {
  try {
    return readFileSync(`${site.wrappers.directory}/struck`, "utf8")
  } catch {
    return undefined
  }
}

const statusOf = async (containerId: string) => {
  const { status } = await site.client.containerStatus({ containerId })
  if (status === undefined) return expect.fail("no status")
  return status
}
const ended = (containerId: string) =>
  eventually("it ends", async () => {
    const status = await statusOf(containerId)
    return status.state === ContainerState.CONTAINER_EXITED ? status : undefined
  })

let containers = 0
const create = async (podSandboxId: string, script: string, patch: object = {}) => {
  const name = `c${containers++}`
  const config = {
    metadata: { name, attempt: 0 },
    image: { image, userSpecifiedImage: image },
    command: ["sh", "-c", script],
    logPath: `${name}.log`,
    ...patch
  }
  return (await site.client.createContainer({ podSandboxId, config })).containerId
}
const start = async (podSandboxId: string, script: string, patch: object = {}) => {
  const containerId = await create(podSandboxId, script, patch)
  await site.client.startContainer({ containerId })
  return containerId
}

/** Deaf to everything but what its script traps. */
const waiting = "while :; do sleep 0.05; done"

describe("kubelet's retries after its deadline", () => {
  it("RunPodSandbox: the second request gets the pod that the first one began, which exists once", async () => {
    site.wrappers.arm({ point: "bridge-ADD", moment: "before", action: "wait" })
    const first = await failure(site.runPod({ uid: "late", deadlineMs: 700 }))
    expect(first.code).toBe("DEADLINE_EXCEEDED")
    await struck()
    expect((await site.client.listPodSandbox({})).items).toEqual([])
    const retries = [site.runPod({ uid: "late" }), site.runPod({ uid: "late" })]
    const impatient = await failure(site.runPod({ uid: "late", deadlineMs: 300 }))
    expect(impatient.code).toBe("DEADLINE_EXCEEDED")
    site.wrappers.disarm()
    const [one, two] = await Promise.all(retries)
    expect(two).toBe(one)
    expect((await site.client.listPodSandbox({})).items.map(({ id }) => id)).toEqual([one])
    expect(leases()).toHaveLength(1)
    expect(await site.runPod({ uid: "late" })).toBe(one)
  }, 60_000)

  it("RunPodSandbox: what nobody asked for again is there for the next list", async () => {
    site.wrappers.arm({ point: "bridge-ADD", moment: "before", action: "wait" })
    await failure(site.runPod({ uid: "later", deadlineMs: 500 }))
    site.wrappers.disarm()
    const [made] = await eventually("it is listed", async () => {
      const { items } = await site.client.listPodSandbox({})
      return items.length > 0 ? items : undefined
    })
    expect(made?.state).toBe(PodSandboxState.SANDBOX_READY)
    expect(await site.runPod({ uid: "later" })).toBe(made?.id)
  }, 60_000)

  it("CreateContainer: the same, by name and attempt", async () => {
    const pod = await site.runPod()
    site.wrappers.arm({ point: "runtime-create", moment: "before", action: "wait" })
    const late = await failure(site.createContainer(pod, AbortSignal.timeout(700)))
    expect(late.code).toBe("CANCELLED")
    await struck()
    expect((await site.client.listContainers({})).containers).toEqual([])
    const retries = [site.createContainer(pod), site.createContainer(pod)]
    await sleep(100)
    site.wrappers.disarm()
    const [one, two] = await Promise.all(retries)
    expect(two).toBe(one)
    expect((await site.client.listContainers({})).containers.map(({ id }) => id)).toEqual([one])
    expect(await site.createContainer(pod)).toBe(one)
  }, 60_000)
})

describe("StopPodSandbox while a container is created", () => {
  it("ends the making, which says why, and leaves nothing of it", async () => {
    const before = site.state()
    const pod = await site.runPod()
    site.wrappers.arm({ point: "runtime-create", moment: "before", action: "wait" })
    const making = failure(site.createContainer(pod))
    await struck()
    // The runtime still waits when the pod has stopped.
    await site.client.stopPodSandbox({ podSandboxId: pod })
    expect(await making).toMatchObject({
      code: "FAILED_PRECONDITION",
      message: expect.stringMatching(/cannot create container main in pod sandbox [0-9a-f]{64}: the pod is Stopping/)
    })
    expect((await site.client.listContainers({})).containers).toEqual([])
    site.wrappers.disarm()
    await site.client.removePodSandbox({ podSandboxId: pod })
    expect((await site.left(before)).filter((line) => line.includes("left"))).toEqual([])
  }, 60_000)
})

describe("what a state does not allow", () => {
  it("StartContainer of what is unknown, runs or has ended", async () => {
    const pod = await site.runPod()
    expect((await failure(site.client.startContainer({ containerId: "f".repeat(64) }))).code).toBe("NOT_FOUND")
    const running = await start(pod, waiting)
    const again = await failure(site.client.startContainer({ containerId: running }))
    expect(again).toMatchObject({ code: "FAILED_PRECONDITION", message: expect.stringContaining("it is Running") })
    const short = await start(pod, "exit 0")
    await ended(short)
    const late = await failure(site.client.startContainer({ containerId: short }))
    expect(late).toMatchObject({ code: "FAILED_PRECONDITION", message: expect.stringContaining("it is Exited") })
  }, 60_000)

  it("CreateContainer in a pod that is stopped or unknown", async () => {
    const pod = await site.runPod()
    await site.client.stopPodSandbox({ podSandboxId: pod })
    const stopped = await failure(site.createContainer(pod))
    expect(stopped).toMatchObject({ code: "FAILED_PRECONDITION", message: expect.stringContaining("NotReady") })
    expect((await failure(site.createContainer("f".repeat(64)))).code).toBe("NOT_FOUND")
  }, 60_000)

  it("stops and removals of what is unknown are done already", async () => {
    const unknown = "e".repeat(64)
    await site.client.stopContainer({ containerId: unknown, timeout: 10 })
    await site.client.removeContainer({ containerId: unknown })
    await site.client.stopPodSandbox({ podSandboxId: unknown })
    await site.client.removePodSandbox({ podSandboxId: unknown })
    expect((await failure(site.client.containerStatus({ containerId: unknown }))).code).toBe("NOT_FOUND")
    expect((await failure(site.client.podSandboxStatus({ podSandboxId: unknown }))).code).toBe("NOT_FOUND")
  })
})

describe("exits", () => {
  it("a start that the runtime refuses is 128 and StartError", async () => {
    const pod = await site.runPod()
    const containerId = await create(pod, waiting)
    site.wrappers.arm({ point: "runtime-start", moment: "before", action: "fail" })
    const refused = await failure(site.client.startContainer({ containerId }))
    expect(refused.message).toContain("made to fail")
    const status = await ended(containerId)
    expect(status).toMatchObject({ exitCode: 128, reason: "StartError", startedAt: "0" })
    expect(status.message).toContain("made to fail")
    expect(BigInt(status.finishedAt)).toBeGreaterThan(0n)
  }, 60_000)

  it("have the reasons that kubelet shows", async () => {
    const pod = await site.runPod()
    // 31 is SIGSYS: what a seccomp profile kills with.
    const cases: ReadonlyArray<readonly [string, number, string]> = [
      ["exit 0", 0, "Completed"],
      ["exit 3", 3, "Error"],
      ["sh -c 'kill -31 $$'; exit $?", 159, "seccomp killed"]
    ]
    for (const [script, exitCode, reason] of cases) {
      expect(await ended(await start(pod, script))).toMatchObject({ exitCode, reason })
    }
  }, 60_000)

  it("a container whose monitor and process were killed is lost: 255 and Unknown", async () => {
    const pod = await site.runPod()
    const containerId = await start(pod, waiting)
    const { info } = await site.client.containerStatus({ containerId, verbose: true })
    const { pid } = JSON.parse(info["info"] ?? "{}") as { pid: number }
    const monitor = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])
    await site.daemon.stop("SIGKILL")
    process.kill(monitor, "SIGKILL")
    process.kill(pid, "SIGKILL")
    await site.start()
    expect(await ended(containerId)).toMatchObject({ exitCode: 255, reason: "Unknown" })
  }, 60_000)
})

describe("stops", () => {
  const both = `trap 'exit 21' USR1; trap 'exit 22' TERM; touch /ready; ${waiting}`
  const ready = (containerId: string) =>
    eventually("it is ready", async () => {
      const { exitCode } = await site.client.execSync({ containerId, cmd: ["test", "-e", "/ready"], timeout: 10 })
      return exitCode === 0
    })

  it("send the signal of the request, else SIGTERM", async () => {
    const pod = await site.runPod()
    const asked = await start(pod, both, { stopSignal: Signal.SIGNAL_SIGUSR1 })
    const plain = await start(pod, both)
    for (const [containerId, exitCode, stopSignal] of [
      [asked, 21, Signal.SIGNAL_SIGUSR1],
      [plain, 22, Signal.SIGNAL_SIGTERM]
    ] as const) {
      await ready(containerId)
      await site.client.stopContainer({ containerId, timeout: 60 })
      expect(await statusOf(containerId)).toMatchObject({ exitCode, stopSignal })
    }
  }, 60_000)

  it("a later one with less patience ends an earlier one's", async () => {
    const pod = await site.runPod()
    const containerId = await start(pod, `trap '' TERM; touch /ready; ${waiting}`)
    await ready(containerId)
    const patient = site.client.stopContainer({ containerId, timeout: 3600 }, { deadlineMs: 3_700_000 })
    await sleep(100)
    expect((await statusOf(containerId)).state).toBe(ContainerState.CONTAINER_RUNNING)
    await site.client.stopContainer({ containerId, timeout: 0 })
    await patient
    expect(await statusOf(containerId)).toMatchObject({ exitCode: 137, reason: "Error" })
  }, 60_000)
})

describe("the termination log", () => {
  it("is found by its mount, and has all that was written", async () => {
    const pod = await site.runPod()
    const hostPath = `${site.directory}/termination-${containers}`
    writeFileSync(hostPath, "")
    const mounts = [{ containerPath: "/dev/termination-log", hostPath }]
    const containerId = await start(pod, "echo last words > /dev/termination-log; exit 1", { mounts })
    const status = await ended(containerId)
    const mount = status.mounts.find(({ containerPath }) => containerPath === "/dev/termination-log")
    expect(mount?.hostPath).toBe(hostPath)
    expect(readFileSync(hostPath, "utf8")).toBe("last words\n")
  }, 60_000)
})

describe("RuntimeReady", () => {
  it("says when the monitor is missing, and when it is back", async () => {
    const condition = async () => {
      const { status } = await site.client.status({})
      return status?.conditions.find(({ type }) => type === "RuntimeReady")
    }
    expect(await condition()).toMatchObject({ status: true })
    execFileSync("mount", ["--bind", "/dev/null", "/usr/bin/conmon"])
    try {
      expect(await condition()).toMatchObject({
        status: false,
        reason: "MonitorMissing",
        message: expect.stringContaining("/usr/bin/conmon")
      })
    } finally {
      execFileSync("umount", ["/usr/bin/conmon"])
    }
    expect(await condition()).toMatchObject({ status: true })
  })
})

describe("log rotation under load", () => {
  it("loses no line and doubles none, whatever kubelet renames while the container writes", async () => {
    // The wrapped one says something on standard error itself.
    const pod = await site.runPod({ handler: "" })
    const total = 60_000
    const script = `i=0; while [ $i -lt ${total} ]; do i=$((i+1)); echo line $i; [ $((i%7)) = 0 ] && echo error $i >&2; done`
    const logDirectory = `${site.place.logs}/rotation`
    mkdirSync(logDirectory, { recursive: true })
    const containerId = await create(pod, `${script}; exit 0`, { metadata: { name: "rotated", attempt: 0 } })
    const path = (await statusOf(containerId)).logPath
    await site.client.startContainer({ containerId })
    const parts: Array<string> = []
    for (;;) {
      const { state } = await statusOf(containerId)
      if (state === ContainerState.CONTAINER_EXITED) break
      const part = `${path}.${parts.length}`
      execFileSync("mv", [path, part])
      parts.push(part)
      const refused = await site.client.reopenContainerLog({ containerId }).then(
        () => undefined,
        (error: unknown) => codeOf(error)
      )
      // It has ended meanwhile: then no file was made for nothing.
      if (refused !== undefined) expect(await ended(containerId)).toBeDefined()
      if (refused !== undefined) break
    }
    await ended(containerId)
    const files = [...parts, path].filter((file) => {
      try {
        return readFileSync(file).length > 0
      } catch {
        return false
      }
    })
    // A line may come in parts, which need not follow each other: P goes on, F ends.
    const written: Record<string, Array<string>> = { stdout: [""], stderr: [""] }
    for (const entry of files.flatMap((file) => readFileSync(file, "utf8").trimEnd().split("\n"))) {
      const [, stream = "", tag, text = ""] = /^\d{4}-[0-9T:.+Z-]+ (stdout|stderr) ([PF]) (.*)$/.exec(entry) ?? []
      const lines = written[stream] ?? expect.fail(`no entry of a log: ${JSON.stringify(entry)}`)
      lines.push((lines.pop() ?? "") + text)
      if (tag === "F") lines.push("")
    }
    expect(parts.length).toBeGreaterThan(5)
    const expected = (word: string, count: number, step: number) =>
      Array.from({ length: count }, (_, index) => `${word} ${(index + 1) * step}`)
    const firstDifference = (stream: string, all: ReadonlyArray<string>) =>
      [...all, ""].findIndex((line, index) => line !== written[stream]?.[index])
    expect(firstDifference("stdout", expected("line", total, 1))).toBe(-1)
    expect(firstDifference("stderr", expected("error", Math.floor(total / 7), 7))).toBe(-1)
    expect([written["stdout"]?.length, written["stderr"]?.length]).toEqual([total + 1, Math.floor(total / 7) + 1])
  }, 120_000)
})
