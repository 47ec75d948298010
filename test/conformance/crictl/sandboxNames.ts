/**
 * A pod's name, namespace, uid and attempt belong to one sandbox from RunPodSandbox to RemovePodSandbox. kubelet asks
 * again with the same ones until a sandbox is there: however often and however early, there is one.
 */
import { assert, describe, it } from "vitest"
import { NamespaceMode } from "../../../src/gen/runtime/v1/api.ts"
import type { Request } from "./support/Crictl.ts"
import { eventually, type Site } from "./support/Site.ts"

const namespaceOptions = { network: NamespaceMode.POD, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD }

export const namesOfSandboxes = (site: () => Site) =>
  describe("names of sandboxes", () => {
    const listed = async (label: string): Promise<ReadonlyArray<string>> => {
      const text = await site().crictl.ok("pods", "-q", "--label", `same=${label}`)
      return text === "" ? [] : text.split("\n")
    }
    const request = (name: string): Request => site().pod(name, { labels: { same: name } })
    const withMetadata = (made: Request, patch: Request): Request => ({
      ...made,
      metadata: { ...(made["metadata"] as Request), ...patch }
    })

    it("the same metadata never makes a second one, until the first is removed", async () => {
      const { crictl } = site()
      const made = request("same-again")
      const first = await crictl.runp(made)
      // What was asked for is there: the answer is the same.
      assert.strictEqual(await crictl.runp(made), first)
      assert.match(
        await crictl.runpFails({ ...made, hostname: "another" }),
        new RegExp(`code = AlreadyExists.*${first}.*different request`)
      )
      await crictl.ok("stopp", first)
      assert.match(await crictl.runpFails(made), new RegExp(`code = AlreadyExists.*${first}.*NotReady`))
      assert.deepStrictEqual(await listed("same-again"), [first])

      const next = await crictl.runp(withMetadata(made, { attempt: 1 }))
      assert.sameMembers([...(await listed("same-again"))], [first, next])
      await crictl.ok("rmp", first)
      const reused = await crictl.runp(made)
      assert.notStrictEqual(reused, first)
      assert.sameMembers([...(await listed("same-again"))], [next, reused])
      await crictl.ok("rmp", "--force", next, reused)
    })

    it("another uid or namespace is another pod, also while the first one runs", async () => {
      const { crictl } = site()
      const made = request("same-name")
      const ids = [
        await crictl.runp(made),
        await crictl.runp(withMetadata(made, { uid: "made-anew" })),
        await crictl.runp(withMetadata(made, { namespace: "elsewhere" }))
      ]
      assert.lengthOf(new Set(ids), 3)
      assert.sameMembers([...(await listed("same-name"))], ids)
      await crictl.ok("rmp", "--force", ...ids)
    })

    it("five requests at the same time make one, and all are told of it", async () => {
      const { crictl } = site()
      const made = request("same-time")
      const ids = await Promise.all(Array.from({ length: 5 }, () => crictl.runp(made)))
      assert.lengthOf(new Set(ids), 1)
      assert.deepStrictEqual(await listed("same-time"), ids.slice(0, 1))
      await crictl.ok("rmp", "--force", ...ids.slice(0, 1))
    })

    it("a client that does not wait, and asks again, finds one", async () => {
      const { crictl, client } = site()
      for (const deadlineMs of [1, 10, 30, 60, 120]) {
        const label = `same-late-${deadlineMs}`
        const { cgroup_parent } = request(label)["linux"] as Request
        const config = {
          metadata: { name: label, namespace: "default", uid: label, attempt: 0 },
          hostname: label,
          labels: { same: label },
          linux: {
            cgroupParent: String(cgroup_parent),
            securityContext: { namespaceOptions }
          }
        }
        // Whether it is made in time is not the question.
        await client()
          .runPodSandbox({ config }, { deadlineMs })
          .catch(() => {})
        const { podSandboxId } = await eventually("it is made", () => client().runPodSandbox({ config }))
        assert.deepStrictEqual(await listed(label), [podSandboxId])
        await crictl.ok("rmp", "--force", podSandboxId)
        assert.deepStrictEqual(await listed(label), [])
      }
    })
  })
