/** Files of the kernel that stay open from reading to reading. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync, readlinkSync } from "node:fs"
import { afterEach, assert, beforeEach, describe, it, vi } from "vitest"
import { closeKernelTexts, readKernelText } from "../../../src/linux/internal/kernelTexts.ts"

const openCount = (path: string): number =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === path
    } catch {
      return false
    }
  }).length

const restMs = 30_000

describe("texts of the kernel", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] })
  })
  afterEach(() => {
    vi.advanceTimersByTime(3 * restMs)
    vi.useRealTimers()
  })

  it("are as they are now, also from an open file", async () => {
    const child = spawn("sleep", ["60"], { stdio: "ignore" })
    const path = `/proc/${child.pid}/stat`
    const stateOf = (text: string | undefined) => text?.split(") ")[1]?.charAt(0)
    assert.match(stateOf(readKernelText(path, true)) ?? "", /[RS]/)
    child.kill("SIGSTOP")
    await vi.waitFor(() => assert.strictEqual(stateOf(readKernelText(path, true)), "T"))
    assert.strictEqual(openCount(path), 1)
    const ended = once(child, "exit")
    child.kill("SIGKILL")
    await ended
    assert.isUndefined(readKernelText(path, true))
    assert.isUndefined(readKernelText(path, true))
    // /proc shows the file of a process that has gone with a word behind its name.
    assert.strictEqual(openCount(path) + openCount(`${path} (deleted)`), 0)
  })

  it("are whole, however long", () => {
    // Many records, more than a page in all.
    const path = "/proc/kallsyms"
    const names = (text: string | undefined) => (text ?? "").split("\n").slice(0, 20_000)
    const expected = names(readFileSync(path, "utf8"))
    assert.isTrue(expected.length > 1000)
    assert.deepStrictEqual(names(readKernelText(path, true)), expected)
    assert.deepStrictEqual(names(readKernelText(path, true)), expected)
    const limits = readFileSync("/proc/self/limits", "utf8")
    assert.strictEqual(readKernelText("/proc/self/limits", true), limits)
  })

  it("are closed with their directory", () => {
    const directory = `/proc/${process.pid}`
    readKernelText(`${directory}/status`, true)
    closeKernelTexts(`${directory}0`)
    assert.strictEqual(openCount(`${directory}/status`), 1)
    closeKernelTexts(directory)
    assert.strictEqual(openCount(`${directory}/status`), 0)
  })

  it("are closed when nobody reads them any more", () => {
    const path = "/proc/self/status"
    const own = path.replace("self", String(process.pid))
    readKernelText(path, true)
    readKernelText(path, true)
    assert.strictEqual(openCount(own), 1)
    vi.advanceTimersByTime(restMs)
    readKernelText(path, true)
    vi.advanceTimersByTime(restMs)
    assert.strictEqual(openCount(own), 1)
    vi.advanceTimersByTime(restMs)
    assert.strictEqual(openCount(own), 0)
  })

  it("are left closed where nobody asks for more", () => {
    assert.match(readKernelText("/proc/self/status", false) ?? "", /^Name:/)
    assert.strictEqual(openCount(`/proc/${process.pid}/status`), 0)
    assert.throws(() => readKernelText("/proc/self/fd", true), /EISDIR/)
    assert.strictEqual(openCount(`/proc/${process.pid}/fd`), 0)
  })
})
