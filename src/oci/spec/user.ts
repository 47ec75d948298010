/**
 * Who the process runs as: CRI's run_as_* fields over the image's USER, looked up in the image's own passwd and group.
 * Those files are hostile: they are read below the root file system, regular files only, at most 10 MiB.
 */
import { Effect, Result } from "effect"
import { type LinuxContainerSecurityContext, SupplementalGroupsPolicy } from "../../gen/runtime/v1/api.ts"
import { Files } from "../../linux/Files.ts"
import { isGone } from "../../linux/LinuxError.ts"
import { SpecHostError } from "../OciError.ts"
import {
  type Account,
  accountById,
  accountNamed,
  type Accounts,
  groupNamed,
  groupsWith,
  largestId,
  parseId
} from "./accounts.ts"
import { type Fault, faultError, invalid } from "./fault.ts"

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

/** What begins like a number is one, and is never looked up as a name: "0x0", "-1" and " 0" are errors. */
const looksNumeric = (text: string) => /^[\s+\-\d]/.test(text)

const checkedId = (field: string, text: string): Result.Result<number, Fault> => {
  const id = parseId(text)
  return id === undefined
    ? invalid(field, `${JSON.stringify(text)} is not an id between 0 and ${largestId}`)
    : Result.succeed(id)
}

const byUid = (passwd: string, uid: number): Effect.Effect<Account> =>
  Effect.map(accountById(passwd, uid), (found) => found ?? { name: "", uid, gid: 0, home: "/" })

const userOf = Effect.fnUntraced(function* (field: string, text: string, { passwd }: Accounts) {
  if (looksNumeric(text)) return yield* byUid(passwd, yield* Effect.fromResult(checkedId(field, text)))
  const account = yield* accountNamed(passwd, text)
  if (account !== undefined) return account
  const reason = `user ${JSON.stringify(text)} is not in the image's /etc/passwd; use a numeric id`
  return yield* Effect.fromResult(invalid(field, reason))
})

const gidOf = Effect.fnUntraced(function* (field: string, text: string, { group }: Accounts) {
  if (looksNumeric(text)) return yield* Effect.fromResult(checkedId(field, text))
  const found = yield* groupNamed(group, text)
  if (found !== undefined) return found.gid
  const reason = `group ${JSON.stringify(text)} is not in the image's /etc/group; use a numeric id`
  return yield* Effect.fromResult(invalid(field, reason))
})

/** The image's USER: "", "user", "uid", "user:group" … */
const imageUser = Effect.fnUntraced(function* (text: string, accounts: Accounts) {
  if (text === "") return yield* byUid(accounts.passwd, 0)
  const colon = text.indexOf(":")
  const userText = colon < 0 ? text : text.slice(0, colon)
  const account = yield* userText === "" ? byUid(accounts.passwd, 0) : userOf("image USER", userText, accounts)
  if (colon < 0 || colon === text.length - 1) return account
  return { ...account, gid: yield* gidOf("image USER", text.slice(colon + 1), accounts) }
})

const primary = Effect.fnUntraced(function* (request: UserRequest, fromImage: string, accounts: Accounts) {
  const field = "linux.security_context"
  const { runAsUser, runAsGroup, runAsUsername } = request
  const refuse = (name: string, reason: string) => Effect.fromResult(invalid(`${field}.${name}`, reason))
  if (runAsUser !== undefined && runAsUsername !== "") {
    return yield* refuse("run_as_username", "run_as_user is given as well; only one of them may be")
  }
  if (runAsGroup !== undefined && runAsUser === undefined && runAsUsername === "") {
    return yield* refuse("run_as_group", "needs run_as_user or run_as_username")
  }
  const id = (name: string, value: bigint) => Effect.fromResult(checkedId(`${field}.${name}`, String(value)))
  const account =
    runAsUser !== undefined
      ? yield* byUid(accounts.passwd, yield* id("run_as_user", runAsUser.value))
      : yield* runAsUsername === ""
          ? imageUser(fromImage, accounts)
          : userOf(`${field}.run_as_username`, runAsUsername, accounts)
  return runAsGroup === undefined ? account : { ...account, gid: yield* id("run_as_group", runAsGroup.value) }
})

/** CRI SupplementalGroupsPolicy: Merge adds the groups that the image gives the user, Strict does not. */
export const containerUser: (
  request: UserRequest,
  fromImage: string,
  accounts: Accounts
) => Effect.Effect<ContainerUser, Fault> = Effect.fnUntraced(function* (request, fromImage, accounts) {
  const { name, uid, gid, home } = yield* primary(request, fromImage, accounts)
  const listed = yield* Effect.fromResult(
    Result.all(
      request.supplementalGroups.map((group) => checkedId("linux.security_context.supplemental_groups", String(group)))
    )
  )
  const merges = request.supplementalGroupsPolicy !== SupplementalGroupsPolicy.Strict && name !== ""
  const memberships = merges ? yield* groupsWith(accounts.group, name) : []
  return { uid, gid, home, additionalGids: [...new Set([gid, ...listed, ...memberships])] }
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
  return yield* containerUser(request ?? noRequest, fromImage, accounts).pipe(
    Effect.mapError((fault) => faultError(containerId, fault))
  )
})
