/** Two pods as kubelet would make them, each with a container that runs: for what crictl tells apart. */
import { afterAll, beforeAll } from "vitest"
import type { Request } from "./Crictl.ts"
import { eventually, names, type Site } from "./Site.ts"

/** As kubelet labels its containers; crictl shows and filters by them. */
export const labelsOf = (pod: string, namespace: string): Request => ({
  "io.kubernetes.pod.name": pod,
  "io.kubernetes.pod.namespace": namespace
})

export interface TwoPods {
  /** In namespace "default", by the default handler. */
  readonly front: string
  readonly frontRequest: Request
  /** In namespace "elsewhere", by the other handler. */
  readonly back: string
  /** Of the front pod, of busybox, labelled tier=web; has written six lines. */
  readonly web: string
  /** Of the back pod, of the image with a user. */
  readonly worker: string
}

const makeTwoPods = async ({ crictl, pod, container, runtime }: Site): Promise<TwoPods> => {
  // What a test before has left would be selected too.
  await crictl.ok("rmp", "--force", "--all")
  for (const name of [names.busybox, names.nginx, names.app]) await crictl.ok("pull", name)
  const frontRequest = pod("front")
  const made = pod("back")
  const backRequest = { ...made, metadata: { ...(made["metadata"] as Request), namespace: "elsewhere" } }
  const front = await crictl.runp(frontRequest)
  const back = await crictl.runp(backRequest, "--runtime", runtime === "crun" ? "runc" : "crun")
  const script = "for i in 1 2 3 4 5 6; do echo line $i; done; exec sleep 1000"
  const labels = { tier: "web", ...labelsOf("front", "default") }
  const web = await crictl.create(front, container("web", script, { labels }), frontRequest)
  await crictl.ok("start", web)
  const app = { image: { image: names.app, user_specified_image: names.app }, labels: labelsOf("back", "elsewhere") }
  const worker = await crictl.create(back, container("worker", "exec sleep 1000", app), backRequest)
  await crictl.ok("start", worker)
  await eventually("it has written", async () => (await crictl.ok("logs", web)).endsWith("line 6"))
  return { front, frontRequest, back, web, worker }
}

/** For the tests of a group: made before the first, removed with every other pod after the last. */
export const twoPods = (site: () => Site) => {
  let made: TwoPods | undefined
  beforeAll(async () => {
    made = await makeTwoPods(site())
  })
  afterAll(async () => {
    await site().crictl.ok("rmp", "--force", "--all")
  })
  return (): TwoPods => {
    if (made === undefined) throw new Error("no pods: see the failure of the set-up")
    return made
  }
}

/** What a quiet command lists. */
export const linesOf = async ({ crictl }: Site, ...parameters: ReadonlyArray<string>) => {
  const text = await crictl.ok(...parameters)
  return text === "" ? [] : text.split("\n")
}

/** What a command says by a Go template. */
export const templateOf = (
  { crictl }: Site,
  command: string,
  expression: string,
  ...parameters: ReadonlyArray<string>
) => crictl.ok(command, "-o", "go-template", "--template", expression, ...parameters)
