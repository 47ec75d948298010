import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import { differences, type HostState } from "../../src/harness/HostState.ts"
import { makeJudge, makeOnlooker } from "../../src/harness/Judge.ts"

const rule = "host.links"

describe("a judge", () => {
  const known = [{ rule, matching: "^left: veth", after: "kill", reason: "it is so" }] as const

  it.effect("knows some deviations only after the daemon was killed, and in that scenario alone", () =>
    Effect.gen(function* () {
      const judge = makeJudge(known)
      const hold = (text: string) => Effect.exit(judge.hold(rule, false, () => text))
      judge.begin()
      assert.isTrue(Exit.isFailure(yield* hold("left: veth1")))
      judge.happened("end")
      assert.isTrue(Exit.isFailure(yield* hold("left: veth1")))
      judge.happened("kill")
      assert.deepStrictEqual(yield* hold("left: veth1"), Exit.succeed(false))
      assert.isTrue(Exit.isFailure(yield* hold("gone: veth1")))
      judge.begin()
      assert.isFalse(judge.knows(rule, "left: veth1"))
      assert.deepInclude(judge.counts().get(rule), { violated: 3 })
    })
  )

  it.effect("that only looks on says which rules were broken since it was asked", () =>
    Effect.gen(function* () {
      const judge = makeOnlooker()
      assert.isFalse(yield* judge.hold(rule, false, () => "left"))
      assert.isTrue(yield* judge.hold("host.files", true, () => ""))
      assert.deepStrictEqual(judge.takeBroken(), [rule])
      assert.deepStrictEqual(judge.takeBroken(), [])
    })
  )
})

describe("the host before and after", () => {
  const state = (daemon: HostState["daemon"]): HostState => ({
    lines: { mounts: [], namespaces: [], links: [], firewall: [], ports: [], cgroups: [], processes: [], files: [] },
    daemon
  })
  const bounds = { descriptors: 10, memory: 50 }
  const before = state({ descriptors: 30, residentMiB: 100 })

  it("says nothing of a daemon whose process is not known", () => {
    assert.deepStrictEqual(differences(state(undefined), state({ descriptors: 900, residentMiB: 900 }), bounds), [])
    assert.deepStrictEqual(differences(before, state(undefined), bounds), [])
  })
})
