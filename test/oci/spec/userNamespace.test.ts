/** What a pod's user namespace may be, and what follows from it for its containers. */
import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { NamespaceMode, type UserNamespace as CriUserNamespace } from "../../../src/gen/runtime/v1/api.ts"
import { type IdMapping, type UserNamespace } from "../../../src/linux/IdMapping.ts"
import { baseMounts, requestMount } from "../../../src/oci/spec/mounts.ts"
import { hasForeignSysfs, namespaceChoices, namespaces } from "../../../src/oci/spec/namespaces.ts"
import {
  checkNodeNamespaces,
  checkUserMapped,
  requestedUserNamespace,
  userMappings
} from "../../../src/oci/spec/userNamespace.ts"
import { criMount, namespaceOption } from "../requests.ts"

const range = (containerId: number, hostId: number, length: number): IdMapping => ({ containerId, hostId, length })
const sole = [range(0, 70_000, 1000)]
const user: UserNamespace = { path: "/run/userns/p", ids: { uids: sole, gids: sole } }
const asked = (
  mode: NamespaceMode,
  uids: ReadonlyArray<IdMapping> = sole,
  gids: ReadonlyArray<IdMapping> = uids
): CriUserNamespace => ({ mode, uids: [...uids], gids: [...gids] })

const outcome = <A, E extends { readonly field: string; readonly reason: string }>(result: Result.Result<A, E>) =>
  Result.isSuccess(result) ? result.success : `${result.failure.field}: ${result.failure.reason}`

describe("the request", () => {
  it("none and NODE are the host's", () => {
    assert.isUndefined(outcome(requestedUserNamespace(undefined)))
    assert.isUndefined(outcome(requestedUserNamespace(asked(NamespaceMode.NODE, []))))
  })
  it("POD has one range for users and the same for groups", () =>
    assert.deepStrictEqual(outcome(requestedUserNamespace(asked(NamespaceMode.POD))), user.ids))

  it.each<readonly [CriUserNamespace, RegExp]>([
    [asked(NamespaceMode.CONTAINER), /userns_options.mode: must be POD or NODE/],
    [asked(NamespaceMode.TARGET), /userns_options.mode: must be POD or NODE/],
    [asked(NamespaceMode.POD, []), /uids: must be one mapping, not 0/],
    [asked(NamespaceMode.POD, [...sole, range(1000, 80_000, 1)]), /uids: must be one mapping, not 2/],
    [asked(NamespaceMode.POD, sole, []), /gids: must be one mapping, not 0/],
    [asked(NamespaceMode.POD, [range(1, 70_000, 1000)]), /uids: must begin at container_id 0, not 1/],
    [asked(NamespaceMode.POD, [range(0, 70_000, 0)]), /uids: host_id 70000 and length 0 are no range/],
    [asked(NamespaceMode.POD, [range(0, 0xffff_fff0, 16)]), /uids: .* no range of ids/],
    [asked(NamespaceMode.POD, sole, [range(0, 70_001, 1000)]), /must map uids and gids alike/]
  ])("refuses %j", (request, message) => assert.match(String(outcome(requestedUserNamespace(request))), message))

  it("goes with no namespace of the node whose files only its owner can mount", () => {
    const check = (fields: Parameters<typeof namespaceOption>[0]) =>
      String(outcome(checkNodeNamespaces(namespaceOption(fields))))
    assert.match(check({ pid: NamespaceMode.NODE }), /options.pid: is NODE/)
    assert.match(check({ ipc: NamespaceMode.NODE }), /options.ipc: is NODE/)
    assert.strictEqual(check({ network: NamespaceMode.NODE }), "undefined")
  })
})

describe("a container", () => {
  const pod = { network: "/n", ipc: "/i", uts: "/u", user, pausePid: undefined, targetPid: undefined }
  const choose = (fields: Parameters<typeof namespaceOption>[0], of = pod as Parameters<typeof namespaceChoices>[1]) =>
    outcome(namespaceChoices(namespaceOption({ pid: NamespaceMode.CONTAINER, ...fields }), of))

  it("has its pod's namespace, said or unsaid", () => {
    for (const usernsOptions of [undefined, asked(NamespaceMode.POD)]) {
      const choices = choose({ usernsOptions })
      assert.deepStrictEqual((choices as { user: unknown }).user, user)
    }
    assert.isUndefined(
      (choose({ usernsOptions: asked(NamespaceMode.NODE, []) }, { ...pod, user: undefined }) as { user: unknown }).user
    )
  })
  it("cannot have another one, or the node's processes", () => {
    const other = asked(NamespaceMode.POD, [range(0, 80_000, 1000)])
    assert.match(String(choose({ usernsOptions: other })), /userns_options: is not the pod sandbox's/)
    assert.match(String(choose({ usernsOptions: asked(NamespaceMode.NODE, []) })), /is not the pod sandbox's/)
    assert.match(
      String(choose({ usernsOptions: asked(NamespaceMode.POD) }, { ...pod, user: undefined })),
      /is not the pod sandbox's/
    )
    assert.match(String(choose({ pid: NamespaceMode.NODE })), /options.pid: is NODE/)
  })
  it("runs as nobody who is not mapped", () => {
    const check = (uid: number, gid: number, ...additionalGids: ReadonlyArray<number>) =>
      String(outcome(checkUserMapped({ uid, gid, additionalGids, home: "/" }, user)))
    assert.strictEqual(check(999, 999, 0), "undefined")
    assert.match(check(1000, 0), /does not map uid 1000$/)
    assert.match(check(0, 5000, 5000, 6000), /does not map gid 5000, gid 6000$/)
    assert.isUndefined(outcome(checkUserMapped({ uid: 5000, gid: 0, additionalGids: [], home: "/" }, undefined)))
  })
  it("joins it first, with its mappings in the specification", () => {
    const choices = { pid: "private", network: { path: "/n" }, ipc: "host", uts: "host", user } as const
    assert.deepStrictEqual(namespaces(choices, 1)[0], { type: "user", path: "/run/userns/p" })
    const ids = [{ containerID: 0, hostID: 70_000, size: 1000 }]
    assert.deepStrictEqual(userMappings(user), { uidMappings: ids, gidMappings: ids })
    assert.deepStrictEqual(userMappings(undefined), {})
  })
  it("gets the node's /sys on the node's network", () => {
    const choices = { pid: "private", network: "host", ipc: "host", uts: "host", user } as const
    assert.isTrue(hasForeignSysfs(choices))
    assert.isFalse(hasForeignSysfs({ ...choices, user: undefined }))
    assert.isFalse(hasForeignSysfs({ ...choices, network: { path: "/n" } }))
    const base = { privileged: true, sharedMemory: "/shm", foreignSysfs: true, writableTmpfs: false }
    const sys = baseMounts(base).find(({ destination }) => destination === "/sys")
    assert.deepInclude(sys, { type: "bind", source: "/sys" })
    assert.include(sys?.options ?? [], "ro")
  })
})

describe("a volume", () => {
  const request = (fields: Parameters<typeof criMount>[0], of: UserNamespace | undefined = user) =>
    outcome(
      requestMount(
        criMount({ containerPath: "/data", hostPath: "/h", ...fields }),
        "/h",
        { recursiveReadOnlyMounts: true },
        of
      )
    )

  it("is mapped as the pod is, for runtimes of both ways to say so", () => {
    const made = request({ uidMappings: [...sole], gidMappings: [...sole] })
    assert.deepStrictEqual(made, {
      destination: "/data",
      type: "bind",
      source: "/h",
      options: ["rbind", "rw", "rprivate", "idmap"],
      ...userMappings(user)
    })
  })
  it("is not mapped unless that is asked for", () =>
    assert.deepStrictEqual(request({}), {
      destination: "/data",
      type: "bind",
      source: "/h",
      options: ["rbind", "rw", "rprivate"]
    }))
  it("is refused with other mappings, half of them, or without a user namespace", () => {
    const other = [range(0, 1, 1000)]
    const message = /mounts.uid_mappings: uid_mappings and gid_mappings of \/data are not the pod's/
    assert.match(String(request({ uidMappings: other, gidMappings: other })), message)
    assert.match(String(request({ uidMappings: [...sole] })), message)
    assert.match(String(request({ gidMappings: [...sole] })), message)
    const without = requestMount(
      criMount({ containerPath: "/data", hostPath: "/h", uidMappings: [...sole], gidMappings: [...sole] }),
      "/h",
      { recursiveReadOnlyMounts: true }
    )
    assert.match(String(outcome(without)), message)
  })
})
