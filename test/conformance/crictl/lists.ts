/**
 * Lists as streams, of which kubelet's client makes its lists: they hold what the calls without a stream hold, whatever
 * the filter. crictl does not ask for them.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { ContainerState, PodSandboxState } from "../../../src/gen/runtime/v1/api.ts"
import type { Request } from "./support/Crictl.ts"
import { eventually, names, type Site } from "./support/Site.ts"

const idsOf = (items: ReadonlyArray<{ readonly id: string }>) => items.map(({ id }) => id)

const idsOfAttributes = (items: ReadonlyArray<{ readonly attributes: { readonly id: string } | undefined }>) =>
  items.map(({ attributes }) => attributes?.id)

export const listsAsStreams = (site: () => Site) =>
  describe("lists as streams", () => {
    let one = ""
    let two = ""
    // Of pod one, by what becomes of them.
    let waiting = ""
    let working = ""
    let ended = ""

    beforeAll(async () => {
      const { crictl, pod, container } = site()
      await crictl.ok("pull", names.busybox)
      const request = pod("streamed-one", { labels: { streamed: "yes" } })
      const create = (name: string, script: string, patch: Request = {}) =>
        crictl.create(one, container(name, script, patch), request)
      one = await crictl.runp(request)
      two = await crictl.runp(pod("streamed-two", { labels: { streamed: "" } }))
      waiting = await create("waiting", "exec sleep 1000")
      working = await create("working", "exec sleep 1000", { labels: { streamed: "yes", part: "worker" } })
      ended = await create("ended", "exit 0")
      await crictl.ok("start", working)
      await crictl.ok("start", ended)
      await eventually("it ends", async () => (await crictl.ok("ps", "-a", "-q", "--state", "exited")).includes(ended))
    })
    afterAll(async () => {
      await site().crictl.ok("rmp", "--force", one, two)
    })

    /** The ids of a stream, which are those of the list. */
    const pods = async (filter?: object) => {
      const client = site().client()
      const { items } = await client.listPodSandbox({ filter })
      const messages = await client.streamPodSandboxes({ filter })
      const streamed = messages.flatMap(({ podSandboxes }) => podSandboxes)
      assert.deepStrictEqual(streamed, items)
      return idsOf(streamed)
    }
    const containers = async (filter?: object) => {
      const client = site().client()
      const listed = await client.listContainers({ filter })
      const messages = await client.streamContainers({ filter })
      const streamed = messages.flatMap((message) => message.containers)
      assert.deepStrictEqual(streamed, listed.containers)
      return idsOf(streamed)
    }
    const containerStats = async (filter?: object) => {
      const client = site().client()
      const messages = await client.streamContainerStats({ filter })
      const ids = idsOfAttributes(messages.flatMap((message) => message.containerStats))
      // What is measured changes from one call to the next; of whom it is does not.
      assert.sameMembers(ids, idsOfAttributes((await client.listContainerStats({ filter })).stats))
      return ids
    }
    const podStats = async (filter?: object) => {
      const client = site().client()
      const messages = await client.streamPodSandboxStats({ filter })
      const ids = idsOfAttributes(messages.flatMap((message) => message.podSandboxStats))
      assert.sameMembers(ids, idsOfAttributes((await client.listPodSandboxStats({ filter })).stats))
      return ids
    }
    const images = async (filter?: object) => {
      const client = site().client()
      const listed = await client.listImages({ filter })
      const messages = await client.streamImages({ filter })
      const streamed = messages.flatMap((message) => message.images)
      assert.deepStrictEqual(streamed, listed.images)
      return streamed.flatMap(({ repoTags }) => repoTags)
    }

    it("pods: all of them, by id, by state, by labels", async () => {
      assert.includeMembers(await pods(), [one, two])
      assert.deepStrictEqual(await pods({ id: one }), [one])
      assert.deepStrictEqual(await pods({ id: one.slice(0, 13) }), [one])
      assert.deepStrictEqual(await pods({ id: "f".repeat(64) }), [])
      assert.deepStrictEqual(await pods({ id: "no-such-pod" }), [])
      assert.includeMembers(await pods({ state: { state: PodSandboxState.SANDBOX_READY } }), [one, two])
      assert.notInclude(await pods({ state: { state: PodSandboxState.SANDBOX_NOTREADY } }), one)
      assert.deepStrictEqual(await pods({ labelSelector: { streamed: "yes" } }), [one])
      assert.deepStrictEqual(await pods({ labelSelector: { streamed: "" } }), [two])
      assert.deepStrictEqual(await pods({ labelSelector: { streamed: "no" } }), [])
      assert.deepStrictEqual(await pods({ id: one, labelSelector: { streamed: "" } }), [])
    })

    it("containers: all of them, by id, by pod, by state, by labels; the removed ones are not there", async () => {
      const { crictl, pod, container } = site()
      assert.includeMembers(await containers(), [waiting, working, ended])
      assert.deepStrictEqual(await containers({ id: waiting }), [waiting])
      assert.sameMembers(await containers({ podSandboxId: one }), [waiting, working, ended])
      assert.deepStrictEqual(await containers({ podSandboxId: two }), [])
      const inState = (state: ContainerState) => containers({ podSandboxId: one, state: { state } })
      assert.deepStrictEqual(await inState(ContainerState.CONTAINER_CREATED), [waiting])
      assert.deepStrictEqual(await inState(ContainerState.CONTAINER_RUNNING), [working])
      assert.deepStrictEqual(await inState(ContainerState.CONTAINER_EXITED), [ended])
      assert.deepStrictEqual(await containers({ labelSelector: { part: "worker" } }), [working])
      assert.deepStrictEqual(await containers({ labelSelector: { part: "worker", streamed: "no" } }), [])
      const removed = await crictl.create(two, container("removed", "true"), pod("streamed-two"))
      assert.deepStrictEqual(await containers({ id: removed }), [removed])
      await crictl.ok("rm", removed)
      assert.deepStrictEqual(await containers({ id: removed }), [])
    })

    it("statistics of containers: of the running ones, by id, by pod, by labels", async () => {
      assert.include(await containerStats(), working)
      assert.deepStrictEqual(await containerStats({ id: working }), [working])
      assert.deepStrictEqual(await containerStats({ podSandboxId: one }), [working])
      assert.deepStrictEqual(await containerStats({ labelSelector: { part: "worker" } }), [working])
      assert.deepStrictEqual(await containerStats({ labelSelector: { part: "other" } }), [])
      assert.deepStrictEqual(await containerStats({ id: ended }), [])
    })

    it("statistics of pods: all of them, by id, by labels", async () => {
      assert.includeMembers(await podStats(), [one, two])
      assert.deepStrictEqual(await podStats({ id: two }), [two])
      assert.deepStrictEqual(await podStats({ labelSelector: { streamed: "yes" } }), [one])
      assert.deepStrictEqual(await podStats({ labelSelector: { streamed: "no" } }), [])
    })

    it("metrics of pods: of all that are ready", async () => {
      const client = site().client()
      const messages = await client.streamPodSandboxMetrics({})
      const ids = messages.flatMap((message) => message.podSandboxMetrics.map(({ podSandboxId }) => podSandboxId))
      assert.includeMembers(ids, [one, two])
      const { podMetrics } = await client.listPodSandboxMetrics({})
      assert.sameMembers(
        ids,
        podMetrics.map(({ podSandboxId }) => podSandboxId)
      )
    })

    it("images: all of them, and one by its name", async () => {
      assert.include(await images(), names.busybox)
      assert.include(await images({ image: { image: names.busybox } }), names.busybox)
      assert.deepStrictEqual(await images({ image: { image: "quay.io/example/none:1" } }), [])
    })
  })
