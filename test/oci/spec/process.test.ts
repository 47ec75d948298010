import { assert, describe, it } from "@effect/vitest"
import { environment, processArgs, workingDirectory } from "../../../src/oci/spec/process.ts"
import { image, outcome } from "../host.ts"

describe("processArgs", () => {
  it.each([
    [[], [], ["e"], ["c"], ["e", "c"]],
    [[], ["a"], ["e"], ["c"], ["e", "a"]],
    [["x"], [], ["e"], ["c"], ["x"]],
    [["x"], ["a"], ["e"], ["c"], ["x", "a"]],
    [[], [], [], ["c"], ["c"]],
    [[], ["a"], [], ["c"], ["a"]]
  ])("command %j args %j over Entrypoint %j Cmd %j", (command, args, Entrypoint, Cmd, expected) =>
    assert.deepStrictEqual(outcome(processArgs({ command, args }, { ...image, Entrypoint, Cmd })), expected)
  )
  it("refuses no command at all, an empty one and NUL bytes", () => {
    for (const command of [[], [""], ["sh", "a\0b"]]) {
      assert.match(String(outcome(processArgs({ command, args: [] }, image))), /^invalid command: /)
    }
  })
})

describe("environment", () => {
  const base = { image, envs: [], defaultEnv: [], hostname: "pod", home: "/root", terminal: false }
  const entry = (key: string, value: string | Uint8Array) => ({ key, value: Buffer.from(value as string) })

  it("lets kubelet win over the image, and both over defaults", () =>
    assert.deepStrictEqual(
      outcome(
        environment({
          ...base,
          image: { ...image, Env: ["PATH=/bin", "A=1", "A=2", "B=1", "EQ=a=b", "EMPTY", "=x", "N=\0"] },
          envs: [entry("B", "k"), entry("HOME", "/k"), entry("B", "later")],
          defaultEnv: ["A=default", "D=default"],
          terminal: true
        })
      ),
      ["PATH=/bin", "A=2", "B=later", "EQ=a=b", "EMPTY=", "HOME=/k", "D=default", "HOSTNAME=pod", "TERM=xterm"]
    ))

  it("gives PATH, HOSTNAME and HOME to everybody", () =>
    assert.deepStrictEqual(outcome(environment(base)), [
      "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "HOSTNAME=pod",
      "HOME=/root"
    ]))

  it("keeps UTF-8 and refuses what is not", () => {
    assert.include(outcome(environment({ ...base, envs: [entry("U", "\ufeffgrüß")] })), "U=\ufeffgrüß")
    const binary = outcome(environment({ ...base, envs: [entry("X", new Uint8Array([0xff, 0x41]))] }))
    assert.match(String(binary), /^invalid envs\["X"\]: the value is not valid UTF-8/)
  })

  it.each([
    ["", "x"],
    ["A=B", "x"],
    ["A\0", "x"],
    ["A", "x\0y"]
  ])("refuses %j=%j", (key, value) =>
    assert.match(String(outcome(environment({ ...base, envs: [entry(key, value)] }))), /^invalid envs/)
  )
})

describe("workingDirectory", () => {
  it.each([
    ["", "", "/"],
    ["", "app", "/app"],
    ["/w", "/image", "/w"],
    ["/a/../b", "", "/b"],
    ["/proc", "", "/proc"],
    ["/proc/self/fdx", "", "/proc/self/fdx"]
  ])("%j over %j is %s", (requested, fromImage, expected) =>
    assert.strictEqual(outcome(workingDirectory(requested, fromImage)), expected)
  )
  it.each([
    "/proc/self/fd/8",
    "/proc/self/fd",
    "/proc/1/fd/../fd/7",
    "/proc/thread-self/fd/3",
    "/proc/self/task/1/fd/3",
    "//proc//self/./fd/8/",
    "/dev/fd/9",
    "/proc/self/cwd",
    "/proc/1/root/etc"
  ])("refuses %s from the image and from kubelet", (path) => {
    assert.match(String(outcome(workingDirectory("", path))), /^invalid image WORKDIR: /)
    assert.match(String(outcome(workingDirectory(path, ""))), /^invalid working_dir: /)
  })
})
