/**
 * Who the process runs as: CRI's run_as_* fields over the image's USER, looked up in the image's own passwd and group.
 * Those files are hostile: they are read below the root file system, regular files only, at most 10 MiB.
 */
import { Effect, Result } from "effect"
import { type LinuxContainerSecurityContext, SupplementalGroupsPolicy } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { SpecHostError } from "../OciError.ts"
import { type Fault, invalid, orFail } from "./fault.ts"

export interface ContainerUser {
  readonly uid: number
  readonly gid: number
  /** Primary group first (CVE-2022-2995), without repetitions. */
  readonly additionalGids: ReadonlyArray<number>
  /** Home directory in the container. */
  readonly home: string
}

export type UserRequest = Pick<
  LinuxContainerSecurityContext,
  "runAsUser" | "runAsGroup" | "runAsUsername" | "supplementalGroups" | "supplementalGroupsPolicy"
>

export interface Accounts {
  /** Texts of the image's /etc/passwd and /etc/group; "" where there is none. */
  readonly passwd: string
  readonly group: string
}

interface Account {
  readonly name: string
  readonly uid: number
  readonly gid: number
  readonly home: string
}

/** The kernel's ids go up to 2^32-2, Kubernetes' to here; larger ones have wrapped to root elsewhere (CVE-2024-40635). */
const largestId = 0x7fffffff

const parseId = (text: string | undefined): number | undefined => {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined
  const id = Number(text)
  return id <= largestId ? id : undefined
}

const hasControlBytes = (text: string) => Array.from(text).some((character) => character < " " || character === "\x7f")

const accountsOf = function* (passwd: string): Generator<Account> {
  for (const line of passwd.split("\n")) {
    const [name = "", , uidText, gidText, , home = ""] = line.split(":")
    const uid = parseId(uidText)
    const gid = parseId(gidText)
    if (name !== "" && uid !== undefined && gid !== undefined) {
      yield { name, uid, gid, home: home.startsWith("/") && !hasControlBytes(home) ? home : "/" }
    }
  }
}

const groupsOf = function* (group: string): Generator<{ name: string; gid: number; members: ReadonlyArray<string> }> {
  for (const line of group.split("\n")) {
    const [name = "", , gidText, members = ""] = line.split(":")
    const gid = parseId(gidText)
    if (name !== "" && gid !== undefined) yield { name, gid, members: members.split(",") }
  }
}

const find = <A>(items: Iterable<A>, test: (item: A) => boolean): A | undefined => {
  for (const item of items) if (test(item)) return item
  return undefined
}

/** What begins like a number is one, and is never looked up as a name: "0x0", "-1" and " 0" are errors. */
const looksNumeric = (text: string) => /^[\s+\-\d]/.test(text)

const checkedId = (field: string, text: string): Result.Result<number, Fault> => {
  const id = parseId(text)
  return id === undefined
    ? invalid(field, `${JSON.stringify(text)} is not an id between 0 and ${largestId}`)
    : Result.succeed(id)
}

const byUid = (passwd: string, uid: number): Account =>
  find(accountsOf(passwd), (account) => account.uid === uid) ?? { name: "", uid, gid: 0, home: "/" }

const userNamed = (field: string, text: string, { passwd }: Accounts): Result.Result<Account, Fault> => {
  if (looksNumeric(text)) return Result.map(checkedId(field, text), (uid) => byUid(passwd, uid))
  const account = find(accountsOf(passwd), ({ name }) => name === text)
  return account === undefined
    ? invalid(field, `user ${JSON.stringify(text)} is not in the image's /etc/passwd; use a numeric id`)
    : Result.succeed(account)
}

const groupNamed = (field: string, text: string, { group }: Accounts): Result.Result<number, Fault> => {
  if (looksNumeric(text)) return checkedId(field, text)
  const found = find(groupsOf(group), ({ name }) => name === text)
  return found === undefined
    ? invalid(field, `group ${JSON.stringify(text)} is not in the image's /etc/group; use a numeric id`)
    : Result.succeed(found.gid)
}

/** The image's USER: "", "user", "uid", "user:group" … */
const imageUser = (text: string, accounts: Accounts): Result.Result<Account, Fault> =>
  Result.gen(function* () {
    if (text === "") return byUid(accounts.passwd, 0)
    const colon = text.indexOf(":")
    const userText = colon < 0 ? text : text.slice(0, colon)
    const account = userText === "" ? byUid(accounts.passwd, 0) : yield* userNamed("image USER", userText, accounts)
    return colon < 0 || colon === text.length - 1
      ? account
      : { ...account, gid: yield* groupNamed("image USER", text.slice(colon + 1), accounts) }
  })

const primary = (request: UserRequest, fromImage: string, accounts: Accounts): Result.Result<Account, Fault> =>
  Result.gen(function* () {
    const field = "linux.security_context"
    const { runAsUser, runAsGroup, runAsUsername } = request
    if (runAsUser !== undefined && runAsUsername !== "") {
      return yield* invalid(`${field}.run_as_username`, "run_as_user is given as well; only one of them may be")
    }
    if (runAsGroup !== undefined && runAsUser === undefined && runAsUsername === "") {
      return yield* invalid(`${field}.run_as_group`, "needs run_as_user or run_as_username")
    }
    const account =
      runAsUser !== undefined
        ? byUid(accounts.passwd, yield* checkedId(`${field}.run_as_user`, String(runAsUser.value)))
        : runAsUsername !== ""
          ? yield* userNamed(`${field}.run_as_username`, runAsUsername, accounts)
          : yield* imageUser(fromImage, accounts)
    return runAsGroup === undefined
      ? account
      : { ...account, gid: yield* checkedId(`${field}.run_as_group`, String(runAsGroup.value)) }
  })

/** CRI SupplementalGroupsPolicy: Merge adds the groups that the image gives the user, Strict does not. */
export const containerUser = (
  request: UserRequest,
  fromImage: string,
  accounts: Accounts
): Result.Result<ContainerUser, Fault> =>
  Result.gen(function* () {
    const { name, uid, gid, home } = yield* primary(request, fromImage, accounts)
    const listed = yield* Result.all(
      request.supplementalGroups.map((group) => checkedId("linux.security_context.supplemental_groups", String(group)))
    )
    const merges = request.supplementalGroupsPolicy !== SupplementalGroupsPolicy.Strict && name !== ""
    const memberships = merges
      ? Array.from(groupsOf(accounts.group)).filter(({ members }) => members.includes(name))
      : []
    return { uid, gid, home, additionalGids: [...new Set([gid, ...listed, ...memberships.map((group) => group.gid)])] }
  })

const noRequest: UserRequest = {
  runAsUser: undefined,
  runAsGroup: undefined,
  runAsUsername: "",
  supplementalGroups: [],
  supplementalGroupsPolicy: SupplementalGroupsPolicy.Merge
}

/** Bytes. */
const largestFile = 10 * 1024 * 1024

/** `containerUser` with passwd and group of the image mounted at `rootfs`. */
export const resolveUser = Effect.fn("resolveUser")(function* (
  containerId: string,
  rootfs: string,
  request: UserRequest | undefined,
  fromImage: string
) {
  const files = yield* Files
  const read = Effect.fnUntraced(function* (path: string) {
    const bytes = yield* files.readInRoot(rootfs, path, { maxBytes: largestFile }).pipe(
      Effect.catchIf(isGone, () => Effect.succeed(new Uint8Array())),
      Effect.mapError((cause) => new SpecHostError({ containerId, field: "image", path, cause }))
    )
    return Buffer.from(bytes).toString("utf8")
  })
  const accounts = { passwd: yield* read("/etc/passwd"), group: yield* read("/etc/group") }
  return yield* orFail(containerId, containerUser(request ?? noRequest, fromImage, accounts))
})
