/**
 * Walks of a pod with one fault per run, at every point of them in turn: whatever happens, every answer obeys the
 * contract and nothing is left behind. Every RPC that is built is a step of one of the walks.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { formatReport, type Report } from "../world/exhaust.ts"
import type { FaultKind } from "../world/plannedRuns.ts"
import { builtRpcs, formatRows, rowsOf, type StepName } from "./support/rpcs.ts"
import { replayCommand, sweep, type SweepOptions } from "./support/sweep.ts"

const timeout = 20 * 60_000

interface Sweep extends SweepOptions {
  readonly kinds: ReadonlyArray<FaultKind>
  readonly steps?: ReadonlyArray<StepName | "Start" | "background">
}

const reports: Array<{ readonly walk: string; readonly report: Report }> = []

const everyPoint = (title: string, options: Sweep): void => {
  describe(title, () => {
    let report: Report
    beforeAll(async () => {
      report = await sweep({ maxFailures: 50, ...options })
      reports.push({ walk: JSON.stringify(options.walk ?? {}), report })
      process.stdout.write(`${title}\n${formatReport(report, replayCommand(options))}\n`)
    }, timeout)
    for (const kind of options.kinds) {
      it(`leaves nothing behind: ${kind}`, () => {
        const failed = report.failed.filter(({ plan }) => plan === undefined || plan.fault.kind === kind)
        assert.deepStrictEqual(
          failed.map(({ title, failures }) => [title, ...failures]),
          []
        )
        const runs = [...report.doneBy.values()].map((row) => row.get(kind) ?? 0)
        assert.isAbove(Math.max(...runs), 0)
      })
    }
    it("is done with every point", () => {
      assert.strictEqual(report.done, report.planned)
      for (const step of options.steps ?? []) assert.isTrue(report.doneBy.has(step), step)
    })
  })
}

everyPoint("a pod's walk with a fault at every point", {
  kinds: ["fail", "interrupt", "cancel", "terminate", "exit", "kill"]
})

everyPoint("a pod's walk with the daemon's death at every point", { kinds: ["crash"], when: ["before", "after"] })

// After a reboot no pod runs any more: there is nothing to go on with.
everyPoint("a pod's walk with a loss of power at every point", { kinds: ["power"], after: "cleanup" })

/** They change nothing, so the walks above go without them. */
const reads: ReadonlyArray<StepName> = [
  "Version",
  "Status",
  "RuntimeConfig",
  "UpdateRuntimeConfig",
  "ListMetricDescriptors",
  "PodSandboxStatus",
  "ListPodSandbox",
  "StreamPodSandboxes",
  "ContainerStatus",
  "ListContainers",
  "StreamContainers",
  "GetContainerEvents",
  "ContainerStats",
  "ListContainerStats",
  "StreamContainerStats",
  "PodSandboxStats",
  "ListPodSandboxStats",
  "StreamPodSandboxStats",
  "ListPodSandboxMetrics",
  "StreamPodSandboxMetrics",
  "ImageStatus",
  "ListImages",
  "StreamImages",
  "ImageFsInfo"
]

everyPoint("what is asked in a pod's walk, with a fault at every point", {
  kinds: ["fail", "interrupt", "cancel", "terminate"],
  walk: { reads: true },
  steps: reads
})

everyPoint("what is asked in a pod's walk, with the daemon's death at every point", {
  kinds: ["crash"],
  when: ["before", "after"],
  walk: { reads: true },
  steps: reads
})

everyPoint("what is asked in a pod's walk, with a loss of power at every point", {
  kinds: ["power"],
  after: "cleanup",
  walk: { reads: true },
  steps: reads
})

// Lists and statistics come from what it looks at meanwhile.
everyPoint("what is asked in a pod's walk, with an error wherever the daemon works by itself", {
  kinds: ["fail"],
  walk: { reads: true },
  steps: ["Start", "background"]
})

// The steps in which the namespace, its layers and its volumes are taken; they go as all others do.
const inNamespace: Pick<Sweep, "walk" | "steps"> = {
  walk: { userNamespace: true },
  steps: ["RunPodSandbox", "CreateContainer", "StopPodSandbox"]
}

everyPoint("a pod's walk in a user namespace with a fault at every point of its start", {
  ...inNamespace,
  kinds: ["fail", "interrupt", "crash"]
})

everyPoint("a pod's walk in a user namespace with a loss of power at every point of its start", {
  ...inNamespace,
  kinds: ["power"],
  after: "cleanup"
})

/** By clients of the streaming server, then in the pod alone. With runc only a terminal is another matter. */
const streams: Readonly<Record<"crun" | "runc", ReadonlyArray<StepName>>> = {
  crun: [
    "Exec",
    "Exec: left by its client",
    "Exec: in the pod",
    "Exec: on a terminal",
    "Exec: abandoned",
    "Attach",
    "Attach: in the pod",
    "PortForward",
    "PortForward: in the pod"
  ],
  runc: ["Exec: on a terminal"]
}

for (const handler of ["crun", "runc"] as const) {
  const options = { steps: streams[handler], walk: { handler, streams: true } }
  everyPoint(`streams of a container of ${handler} with a fault at every point`, {
    ...options,
    kinds: ["fail", "interrupt", "cancel", "terminate", "crash"]
  })
  everyPoint(`streams of a container of ${handler} with a loss of power at every point`, {
    ...options,
    kinds: ["power"],
    after: "cleanup"
  })
}

describe("every RPC that is built", () => {
  it("has points of its own, which are counted", () => {
    const rows = rowsOf(reports)
    process.stdout.write(`every RPC, in all walks\n${formatRows(rows)}\n`)
    const itself = ["Start", "background", "programs"]
    assert.sameMembers(
      [...rows.keys()].filter((row) => !itself.includes(row)),
      [...builtRpcs]
    )
  })

  it("is met by every fault that it can meet", () => {
    const rows = rowsOf(reports)
    for (const rpc of builtRpcs) {
      const { points, faults } = rows.get(rpc) ?? {
        points: { request: 0, seam: 0 },
        faults: new Map<FaultKind, number>()
      }
      assert.isAbove(points.request, 0, rpc)
      const ofCalls: ReadonlyArray<FaultKind> = points.seam > 0 ? ["fail", "interrupt"] : []
      for (const kind of ["cancel", "terminate", "crash", "power", ...ofCalls] as const) {
        assert.isAbove(faults.get(kind) ?? 0, 0, `${rpc}: ${kind}`)
      }
    }
  })
})
