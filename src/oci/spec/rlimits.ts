/** Resource limits (getrlimit(2)): the configuration's, capped at what the daemon may hand on. */
import { Result } from "effect"
import type { Rlimit } from "../../model/RuntimeSpec.ts"
import { type Fault, invalid } from "./fault.ts"

export const unlimited = 18446744073709551615n

/** The daemon's own limits by OCI type ("RLIMIT_NOFILE"): the hard values. */
export type HardLimits = ReadonlyMap<string, bigint>

const number = (text: string): bigint | undefined =>
  text === "unlimited" || text === "-1" ? unlimited : /^\d{1,20}$/.test(text) ? BigInt(text) : undefined

const parse = (entry: string): Result.Result<Rlimit, Fault> => {
  const match = /^([a-z]+)=([^:]+)(?::([^:]+))?$/i.exec(entry.trim())
  const soft = match?.[2] === undefined ? undefined : number(match[2])
  const hard = match?.[3] === undefined ? soft : number(match[3])
  if (match?.[1] === undefined || soft === undefined || hard === undefined || soft > hard) {
    return invalid("default_ulimits", `${JSON.stringify(entry)} is not name=soft:hard with soft at most hard`)
  }
  return Result.succeed({ type: `RLIMIT_${match[1].toUpperCase()}`, soft, hard })
}

const min = (left: bigint, right: bigint) => (left < right ? left : right)

/** `mayRaise`: the daemon has CAP_SYS_RESOURCE. Without it a limit above its own hard one would fail the start. */
export const rlimits = (
  defaultUlimits: ReadonlyArray<string>,
  own: HardLimits,
  mayRaise: boolean
): Result.Result<ReadonlyArray<Rlimit>, Fault> =>
  Result.map(Result.all(defaultUlimits.map(parse)), (limits) =>
    limits.map((limit) => {
      const ceiling = mayRaise ? unlimited : (own.get(limit.type) ?? unlimited)
      return { ...limit, soft: min(BigInt(limit.soft), ceiling), hard: min(BigInt(limit.hard), ceiling) }
    })
  )
