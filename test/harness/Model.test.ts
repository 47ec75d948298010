import { assert, describe, it } from "@effect/vitest"
import {
  type Act,
  type Behaviour,
  codesOfStop,
  containerAfter,
  type ContainerState,
  type Event,
  makeModel,
  podAfter,
  type PodState
} from "../../src/harness/Model.ts"
import { makePod } from "../../src/harness/internal/requests.ts"
import type { Target } from "../../src/harness/Target.ts"

const events = (...list: ReadonlyArray<readonly [Act, Event["result"]]>): ReadonlyArray<Event> =>
  list.map(([act, result]) => ({ act, result }))

const podRows: ReadonlyArray<
  readonly [string, ReadonlyArray<PodState>, ReadonlyArray<Event>, ReadonlyArray<PodState>]
> = [
  ["runs", ["absent"], events(["run", "done"]), ["ready"]],
  ["is refused", ["absent"], events(["run", "failed"]), ["absent"]],
  ["may run after a lost answer", ["absent"], events(["run", "unknown"]), ["absent", "ready", "notReady"]],
  ["runs when one of two requests was refused", ["absent"], events(["run", "done"], ["run", "failed"]), ["ready"]],
  ["is stopped", ["ready"], events(["stopPod", "done"]), ["notReady"]],
  ["may be stopped", ["ready"], events(["stopPod", "unknown"]), ["ready", "notReady"]],
  ["stays gone when it is stopped", ["absent"], events(["stopPod", "done"]), ["absent"]],
  ["is removed beside a stop", ["ready"], events(["stopPod", "done"], ["removePod", "done"]), ["absent"]],
  ["may be removed", ["ready"], events(["removePod", "unknown"]), ["ready", "notReady", "absent"]],
  ["is not removed by a refusal", ["ready"], events(["removePod", "failed"]), ["ready"]]
]

const containerRows: ReadonlyArray<
  readonly [string, ReadonlyArray<ContainerState>, ReadonlyArray<Event>, boolean, ReadonlyArray<ContainerState>]
> = [
  ["is created", ["absent"], events(["create", "done"]), false, ["created"]],
  ["may be created", ["absent"], events(["create", "unknown"]), false, ["absent", "created"]],
  ["runs", ["created"], events(["start", "done"]), false, ["running"]],
  ["runs and may have ended", ["created"], events(["start", "done"]), true, ["running", "exited"]],
  ["may run", ["created"], events(["start", "unknown"]), false, ["created", "running", "exited"]],
  ["exits when it is stopped", ["running"], events(["stop", "done"]), false, ["exited"]],
  ["exits with its pod", ["created"], events(["stopPod", "done"]), false, ["exited"]],
  [
    "started and stopped at once: either was first",
    ["created"],
    events(["start", "done"], ["stop", "done"]),
    false,
    ["exited", "running"]
  ],
  [
    "started and its pod stopped at once: it does not run",
    ["created"],
    events(["start", "done"], ["stopPod", "done"]),
    false,
    ["exited"]
  ],
  [
    "made in a pod that is stopped meanwhile",
    ["absent"],
    events(["create", "done"], ["stopPod", "done"]),
    false,
    ["exited"]
  ],
  ["is gone when its pod is", ["running"], events(["removePod", "done"], ["stop", "unknown"]), false, ["absent"]],
  ["may be gone", ["running"], events(["remove", "unknown"]), false, ["running", "exited", "absent"]],
  ["its process is killed", ["running"], events(["killed", "done"]), false, ["exited"]],
  ["stays exited when a start is refused", ["exited"], events(["start", "failed"]), false, ["exited"]]
]

describe("the model", () => {
  for (const [name, before, list, after] of podRows) {
    it(`a pod ${name}`, () => {
      assert.sameMembers([...podAfter(new Set(before), list)], [...after])
    })
  }
  for (const [name, before, list, endsAlone, after] of containerRows) {
    it(`a container ${name}`, () => {
      assert.sameMembers([...containerAfter(new Set(before), list, endsAlone)], [...after])
    })
  }
  it("a grace period of nothing is SIGKILL", () => {
    const target = { profile: { cgroupParent: "/x", logDirectory: "/x" } } as Target
    const codes = (behaviour: Behaviour, grace: number, sharedPid = false) => {
      const plain = { hostNetwork: false, hostPort: false, handler: "" }
      const pod = makePod(makeModel("x"), target, { ...plain, sharedPid })
      return codesOfStop({ behaviour, pod }, grace)
    }
    assert.deepStrictEqual(codes("obeys", 0), [137])
    assert.deepStrictEqual(codes("obeys", 2), [0, 137])
    assert.deepStrictEqual(codes("sleeps", 2), [137])
    assert.deepStrictEqual(codes("sleeps", 2, true), [143, 137])
  })
})
