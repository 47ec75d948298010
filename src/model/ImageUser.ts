/** The USER of an image (OCI image-spec config.md, property `User`): "user", "uid", "user:group", "uid:gid", "uid:group". */
import { Result, Schema } from "effect"

/** The kernel's ids have 32 bits, the last one means "none"; container engines accept the positive half. */
export const maxUid = 2 ** 31 - 1

/** A number is an id and nothing else; a name is looked up in the image's passwd or group file. */
export type Identity = { readonly _tag: "Id"; readonly id: number } | { readonly _tag: "Name"; readonly name: string }

export interface ImageUser {
  /** Absent: root. */
  readonly user?: Identity
  /** Absent: the user's own group. */
  readonly group?: Identity
}

export class InvalidUser extends Schema.TaggedError<InvalidUser>()("InvalidUser", {
  text: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `invalid USER ${JSON.stringify(this.text.slice(0, 100))}: ${this.reason}`
  }
}

/** Starts like a name: no sign, no space, no path. What looks like a number but is out of range is never a name (CVE-2026-46680). */
const namePattern = /^[A-Za-z0-9_.][^\s:/\\\0]*$/

const identity = (part: string): Result.Result<Identity, string> => {
  if (/^[0-9]+$/.test(part)) {
    const id = Number(part)
    return id <= maxUid
      ? Result.succeed({ _tag: "Id", id })
      : Result.fail(`${part.slice(0, 40)} is above the largest id, ${maxUid}`)
  }
  return namePattern.test(part) && part.length <= 256
    ? Result.succeed({ _tag: "Name", name: part })
    : Result.fail(`${JSON.stringify(part.slice(0, 100))} is neither an id nor a name`)
}

export const parseImageUser = (text: string): Result.Result<ImageUser, InvalidUser> => {
  const [user = "", group, ...more] = text.split(":")
  const parsed = Result.gen(function* () {
    if (more.length > 0) return yield* Result.fail("more than one colon")
    return {
      ...(user === "" ? {} : { user: yield* identity(user) }),
      ...(group === undefined || group === "" ? {} : { group: yield* identity(group) })
    }
  })
  return Result.mapError(parsed, (reason) => new InvalidUser({ text, reason }))
}
