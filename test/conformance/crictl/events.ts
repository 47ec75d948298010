/** `crictl events`: each transition of pods and containers once, in order, whoever else listens and whatever the daemon does. */
import type { ChildProcess } from "node:child_process"
import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"
import { afterEach, assert, beforeAll, describe, it } from "vitest"
import { eventually, names, type Site } from "./support/Site.ts"

interface Event {
  readonly containerId: string
  readonly containerEventType: string
  readonly createdAt: string
  readonly podSandboxStatus: { readonly id: string; readonly metadata: { readonly name: string; readonly uid: string } }
  readonly containersStatuses: ReadonlyArray<{ readonly id: string; readonly state: string; readonly exitCode: number }>
}

/** JSON objects one after the other; an unfinished one at the end is left out. */
const objectsIn = (text: string): ReadonlyArray<Event> => {
  const found: Array<Event> = []
  let depth = 0
  let start = 0
  let quoted = false
  for (let index = 0; index < text.length; index++) {
    const letter = text[index]
    if (quoted) {
      if (letter === "\\") index++
      else if (letter === '"') quoted = false
    } else if (letter === '"') quoted = true
    else if (letter === "{" && depth++ === 0) start = index
    else if (letter === "}" && --depth === 0) found.push(JSON.parse(text.slice(start, index + 1)) as Event)
  }
  return found
}

const short = (type: string) => type.replace(/^CONTAINER_|_EVENT$/g, "")

export const eventsOfContainers = (site: () => Site) =>
  describe("events", () => {
    beforeAll(async () => {
      await site().crictl.ok("pull", names.busybox)
    })

    const listeners: Array<ChildProcess> = []
    afterEach(() => {
      for (const listener of listeners.splice(0)) listener.kill("SIGKILL")
    })

    const listen = () => {
      const child = site().crictl.start("events")
      listeners.push(child)
      let text = ""
      child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")))
      /** Of one pod, by its name: "pod" for the sandbox, else the beginning of the container's id. */
      const of = (pod: string) =>
        objectsIn(text).filter(({ podSandboxStatus }) => podSandboxStatus.metadata.name === pod)
      const told = (pod: string) =>
        of(pod).map(({ containerId, containerEventType, podSandboxStatus }) => {
          const who = containerId === podSandboxStatus.id ? "pod" : containerId.slice(0, 12)
          return `${who} ${short(containerEventType)}`
        })
      return { child, of, told }
    }

    /** A listener that is known to be there: it has heard of a pod that came and went. */
    const listening = async (name: string) => {
      const listener = listen()
      const { crictl, pod } = site()
      await eventually("it listens", async () => {
        await crictl.ok("rmp", "--force", await crictl.runp(pod(name)))
        await sleep(50)
        return listener.told(name).length > 0
      })
      return listener
    }

    it("tell a pod's life with all that it holds", async () => {
      const { crictl, pod, container } = site()
      const { of, told } = await listening("first-heard")
      const request = pod("told")
      const before = BigInt(Date.now()) * 1_000_000n
      const podId = await crictl.runp(request)
      const id = await crictl.create(podId, container("main", "exit 7"), request)
      await crictl.ok("start", id)
      const c = id.slice(0, 12)
      await eventually("its end is told", () => told("told").includes(`${c} STOPPED`))
      await crictl.ok("rm", id)
      await crictl.ok("stopp", podId)
      await crictl.ok("stopp", podId)
      await crictl.ok("rmp", podId)
      await eventually("the pod's removal is told", () => told("told").includes("pod DELETED"))
      assert.deepStrictEqual(told("told"), [
        "pod CREATED",
        "pod STARTED",
        `${c} CREATED`,
        `${c} STARTED`,
        `${c} STOPPED`,
        `${c} DELETED`,
        "pod STOPPED",
        "pod DELETED"
      ])
      const events = of("told")
      const times = events.map(({ createdAt }) => BigInt(createdAt))
      assert.isTrue(times.every((time, index) => time >= (times[index - 1] ?? before)))
      assert.isTrue(
        times.every((time) => time < BigInt(Date.now() + 1000) * 1_000_000n),
        "nanoseconds"
      )
      const states = events.map(({ containersStatuses }) => containersStatuses.map(({ state }) => state))
      assert.deepStrictEqual(states, [
        [],
        [],
        ["CONTAINER_CREATED"],
        ["CONTAINER_RUNNING"],
        ["CONTAINER_EXITED"],
        [],
        [],
        []
      ])
      assert.strictEqual(events[4]?.containersStatuses[0]?.exitCode, 7)
      const { metadata } = request as { readonly metadata: { readonly uid: string } }
      assert.isTrue(events.every(({ podSandboxStatus }) => podSandboxStatus.metadata.uid === metadata.uid))
    })

    it("tell short lives in their order, each once, to every client, also when another one leaves", async () => {
      const { crictl, pod, container } = site()
      const [staying, leaving] = [await listening("heard-by-one"), await listening("heard-by-two")]
      const request = pod("short-lives")
      const podId = await crictl.runp(request)
      const ids: Array<string> = []
      for (let index = 0; index < 10; index++) {
        const id = await crictl.create(podId, container(`c${index}`, "exit 0"), request)
        ids.push(id.slice(0, 12))
        await crictl.ok("start", id)
        if (index === 4) leaving.child.kill("SIGKILL")
      }
      await eventually(
        "all ends are told",
        () => staying.told("short-lives").filter((one) => /STOPPED/.test(one)).length === 10
      )
      await crictl.ok("rmp", "--force", podId)
      await eventually("the pod's removal is told", () => staying.told("short-lives").includes("pod DELETED"))
      const told = staying.told("short-lives")
      for (const id of ids) {
        assert.deepStrictEqual(
          told.filter((one) => one.startsWith(id)),
          ["CREATED", "STARTED", "STOPPED", "DELETED"].map((what) => `${id} ${what}`)
        )
      }
      const left = leaving.told("short-lives")
      assert.deepStrictEqual(left, told.slice(0, left.length))
      assert.isNull(staying.child.exitCode)
    })

    it("tell after a restart what has changed meanwhile, and nothing else", async () => {
      const { crictl, pod, container, startOne, killAndRestart } = site()
      const before = await listening("heard-before")
      const request = pod("restarted")
      const { podId, containerId: lasting } = await startOne(request, container("lasting", "exec sleep 1000"))
      const ending = await crictl.create(podId, container("ending", "sleep 1; exit 3"), request)
      await crictl.ok("start", ending)
      const [l, e] = [lasting.slice(0, 12), ending.slice(0, 12)]
      await eventually("the start is told", () => before.told("restarted").includes(`${e} STARTED`))
      await killAndRestart(() => sleep(2000))
      if (before.child.exitCode === null && before.child.signalCode === null) await once(before.child, "exit")
      const after = listen()
      await eventually("its end is told", () => after.told("restarted").includes(`${e} STOPPED`))
      await crictl.ok("stop", "--timeout", "0", lasting)
      await eventually("the other end is told", () => after.told("restarted").includes(`${l} STOPPED`))
      assert.deepStrictEqual(after.told("restarted"), [`${e} STOPPED`, `${l} STOPPED`])
      assert.strictEqual(after.of("restarted")[0]?.containersStatuses.find(({ id }) => id === ending)?.exitCode, 3)
      await crictl.ok("rmp", "--force", podId)
    })
  })
