import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import * as Container from "../../src/pod/ContainerState.ts"
import * as Pod from "../../src/pod/PodState.ts"

/** What a transition comes to, short enough for a table: the next tag, "same", or "refused". */
const outcome = <S extends { readonly _tag: string }>(before: S, result: Result.Result<S, string>): string =>
  Result.isFailure(result) ? "refused" : result.success === before ? "same" : result.success._tag

const identity = { pid: 100, startTime: 7 }
const containerStates: Record<string, Container.ContainerState> = {
  Creating: { _tag: "Creating" },
  Created: { _tag: "Created", ...identity },
  Running: { _tag: "Running", ...identity, startedAtNs: 5n },
  Stopping: { _tag: "Stopping", ...identity, startedAtNs: 5n, deadlineMs: 1000 },
  Exited: { _tag: "Exited", startedAtNs: 5n, finishedAtNs: 9n, exitCode: 3, reason: "Error", message: "" }
}
const containerEvents: Record<string, Container.ContainerEvent> = {
  Created: { _tag: "Created", ...identity },
  CreateFailed: { _tag: "CreateFailed", atNs: 6n, message: "no space left" },
  Started: { _tag: "Started", atNs: 6n },
  StartFailed: { _tag: "StartFailed", atNs: 6n, message: "no such file" },
  StopRequested: { _tag: "StopRequested", deadlineMs: 2000 },
  Exited: { _tag: "Exited", exitCode: 0, finishedAtNs: 8n, reason: "Completed", message: "" }
}

describe("container transitions", () => {
  const table: Record<string, Record<string, string>> = {
    Creating: {
      Created: "Created",
      CreateFailed: "Exited",
      Started: "refused",
      StartFailed: "refused",
      StopRequested: "refused",
      Exited: "refused"
    },
    Created: {
      Created: "refused",
      CreateFailed: "refused",
      Started: "Running",
      StartFailed: "Exited",
      StopRequested: "Stopping",
      Exited: "Exited"
    },
    Running: {
      Created: "refused",
      CreateFailed: "refused",
      Started: "refused",
      StartFailed: "refused",
      StopRequested: "Stopping",
      Exited: "Exited"
    },
    Stopping: {
      Created: "refused",
      CreateFailed: "refused",
      Started: "refused",
      StartFailed: "refused",
      StopRequested: "same",
      Exited: "Exited"
    },
    Exited: {
      Created: "refused",
      CreateFailed: "same",
      Started: "refused",
      StartFailed: "same",
      StopRequested: "same",
      Exited: "same"
    }
  }
  for (const [from, row] of Object.entries(table)) {
    for (const [event, expected] of Object.entries(row)) {
      it(`${from} on ${event}: ${expected}`, () => {
        const before = containerStates[from]!
        assert.strictEqual(outcome(before, Container.transition(before, containerEvents[event]!)), expected)
      })
    }
  }

  it("a shorter grace period brings the deadline nearer, a longer one does not push it away", () => {
    const before = containerStates["Stopping"]!
    const shorter = Result.getOrThrow(Container.transition(before, { _tag: "StopRequested", deadlineMs: 500 }))
    assert.deepStrictEqual<unknown>(shorter, { ...before, deadlineMs: 500 })
    const longer = Result.getOrThrow(Container.transition(before, { _tag: "StopRequested", deadlineMs: 9000 }))
    assert.strictEqual(longer, before)
  })

  it("a start reported after the exit is kept, and never lies behind it", () => {
    const early = { ...containerStates["Exited"]!, startedAtNs: 0n } as Container.ContainerState
    const before = Result.getOrThrow(Container.transition(early, { _tag: "Started", atNs: 8n }))
    assert.strictEqual("startedAtNs" in before ? before.startedAtNs : undefined, 8n)
    const after = Result.getOrThrow(Container.transition(early, { _tag: "Started", atNs: 20n }))
    assert.strictEqual("startedAtNs" in after ? after.startedAtNs : undefined, 9n)
  })

  it("a life shorter than a tick of the file's clock does not end before it began, and the start that was shown stays", () => {
    const exit = { ...containerEvents["Exited"]!, finishedAtNs: 4n } as Container.ContainerEvent
    const after = Result.getOrThrow(Container.transition(containerStates["Running"]!, exit))
    assert.deepInclude(after, { startedAtNs: 5n, finishedAtNs: 5n })
  })

  it("stopping a created container keeps that it never started", () => {
    const stopping = Result.getOrThrow(
      Container.transition(containerStates["Created"]!, { _tag: "StopRequested", deadlineMs: 1 })
    )
    assert.deepStrictEqual(stopping, { _tag: "Stopping", ...identity, startedAtNs: 0n, deadlineMs: 1 })
  })

  it("names the reason of an exit as kubelet shows it", () => {
    assert.strictEqual(Container.exitReason(0, false), "Completed")
    assert.strictEqual(Container.exitReason(1, false), "Error")
    assert.strictEqual(Container.exitReason(137, true), "OOMKilled")
    assert.strictEqual(Container.exitReason(137, false), "Error")
    assert.strictEqual(Container.exitReason(159, false), "seccomp killed")
  })
})

describe("pod transitions", () => {
  const states: Record<string, Pod.PodState> = {
    Starting: { _tag: "Starting" },
    Ready: { _tag: "Ready" },
    Stopping: { _tag: "Stopping" },
    NotReady: { _tag: "NotReady", reason: "stopped" }
  }
  const events: Record<string, Pod.PodEvent> = {
    NetworkUp: { _tag: "NetworkUp" },
    StartFailed: { _tag: "StartFailed", reason: "no network" },
    StopRequested: { _tag: "StopRequested" },
    Stopped: { _tag: "Stopped" },
    Lost: { _tag: "Lost", reason: "the node was restarted" }
  }
  const table: Record<string, Record<string, string>> = {
    Starting: {
      NetworkUp: "Ready",
      StartFailed: "NotReady",
      StopRequested: "refused",
      Stopped: "refused",
      Lost: "refused"
    },
    Ready: {
      NetworkUp: "refused",
      StartFailed: "refused",
      StopRequested: "Stopping",
      Stopped: "refused",
      Lost: "NotReady"
    },
    Stopping: {
      NetworkUp: "refused",
      StartFailed: "refused",
      StopRequested: "same",
      Stopped: "NotReady",
      Lost: "NotReady"
    },
    NotReady: { NetworkUp: "refused", StartFailed: "same", StopRequested: "same", Stopped: "same", Lost: "same" }
  }
  for (const [from, row] of Object.entries(table)) {
    for (const [event, expected] of Object.entries(row)) {
      it(`${from} on ${event}: ${expected}`, () => {
        const before = states[from]!
        assert.strictEqual(outcome(before, Pod.transition(before, events[event]!)), expected)
      })
    }
  }
})
