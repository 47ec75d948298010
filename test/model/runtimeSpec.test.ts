import { assert, it } from "@effect/vitest"
import { Result } from "effect"
import { decodeProcess, encodeProcess, encodeResources, type Process } from "../../src/model/RuntimeSpec.ts"

const process: Process = {
  terminal: false,
  user: { uid: 1, gid: 2, additionalGids: [2, 3] },
  args: ["/bin/sh"],
  env: ["A=grüß"],
  cwd: "/",
  capabilities: { bounding: ["CAP_KILL"], effective: [], inheritable: [], permitted: [], ambient: [] },
  rlimits: [{ type: "RLIMIT_CORE", soft: 0, hard: 18446744073709551615n }],
  noNewPrivileges: true,
  oomScoreAdj: -5
}

it("writes and reads 64-bit numbers exactly", () => {
  const text = `{"process":${encodeProcess(process)}}`
  assert.include(text, '"hard":18446744073709551615')
  assert.deepStrictEqual(Result.getOrThrow(decodeProcess(text)), process)
  assert.strictEqual(
    encodeResources({ memory: { limit: 9223372036854775807n } }),
    '{"memory":{"limit":9223372036854775807}}'
  )
})

it.each(["", "{", "{}", '{"process":null}', '{"process":{"args":1}}'])("%j is an error, not a crash", (text) =>
  assert.isTrue(Result.isFailure(decodeProcess(text)))
)
