/** Strings that stand for a quantity: durations as Go writes them, memory sizes, port numbers. */
import { Duration, Option, Result } from "effect"
import { printString } from "../toml/print.ts"
import { type Decoded, type Kind, textNode, wrongType, wrongValue } from "./Kind.ts"

const nanoseconds: Readonly<Record<string, bigint>> = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  μs: 1_000n,
  ms: 1_000_000n,
  s: 1_000_000_000n,
  m: 60_000_000_000n,
  h: 3_600_000_000_000n
}

const maxNanoseconds = 2n ** 63n - 1n

/** Nanoseconds of a Go duration ("1h30m", "1.5s", "0"), undefined when it is none or does not fit 64 bits. */
export const parseGoDuration = (text: string): bigint | undefined => {
  if (text === "0") return 0n
  if (!/^(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.test(text)) return undefined
  let total = 0n
  for (const [, whole = "", fraction = "", unit = ""] of text.matchAll(/(\d*)\.?(\d*)(ns|us|µs|μs|ms|s|m|h)/g)) {
    const size = nanoseconds[unit] ?? 0n
    total += BigInt(whole === "" ? 0 : whole) * size
    if (fraction !== "") total += (BigInt(fraction) * size) / 10n ** BigInt(fraction.length)
  }
  return total <= maxNanoseconds ? total : undefined
}

/** The spelling of Go's Duration.String: "1h30m0s", "1.5s", "20ms", "0s". */
export const printGoDuration = (total: bigint): string => {
  if (total === 0n) return "0s"
  const decimal = (value: bigint, size: bigint): string => {
    const fraction = (value % size)
      .toString()
      .padStart(size.toString().length - 1, "0")
      .replace(/0+$/, "")
    return fraction === "" || size === 1n ? String(value / size) : `${value / size}.${fraction}`
  }
  if (total < 1_000n) return `${total}ns`
  if (total < 1_000_000n) return `${decimal(total, 1_000n)}µs`
  if (total < 1_000_000_000n) return `${decimal(total, 1_000_000n)}ms`
  const hours = total / 3_600_000_000_000n
  const minutes = (total / 60_000_000_000n) % 60n
  const seconds = `${decimal(total % 60_000_000_000n, 1_000_000_000n)}s`
  return hours > 0n ? `${hours}h${minutes}m${seconds}` : minutes > 0n ? `${minutes}m${seconds}` : seconds
}

const encodeDuration = (value: Duration.Duration): string => printString(printGoDuration(Duration.toNanosUnsafe(value)))

const decodeDuration = (text: string): Option.Option<Duration.Duration> => {
  const value = parseGoDuration(text)
  return value === undefined ? Option.none() : Option.some(Duration.nanos(value))
}

/** A Go duration; a bare integer counts nanoseconds, as it does in CRI-O's files. */
export const duration: Kind<Duration.Duration> = {
  expected: 'a duration such as "30s" or "1m30s"',
  decode: (node) => {
    if (node.type === "integer" && node.value >= 0) return Result.succeed(Duration.nanos(BigInt(node.value)))
    if (node.type !== "string") return wrongType(node, duration.expected)
    return Option.match(decodeDuration(node.value), {
      onNone: (): Decoded<Duration.Duration> => wrongValue(node, duration.expected),
      onSome: (value) => Result.succeed(value)
    })
  },
  fromText: textNode,
  encode: encodeDuration
}

/** A Go duration, or the empty string for "whatever the built-in value is" (undefined). */
export const optionalDuration: Kind<Duration.Duration | undefined> = {
  expected: 'a duration such as "30s" or "4h", or an empty string',
  decode: (node) => {
    if (node.type !== "string") return wrongType(node, optionalDuration.expected)
    if (node.value === "") return Result.succeed(undefined)
    return Option.match(decodeDuration(node.value), {
      onNone: (): Decoded<Duration.Duration | undefined> => wrongValue(node, optionalDuration.expected),
      onSome: (value) => Result.succeed(value)
    })
  },
  fromText: textNode,
  encode: (value) => (value === undefined ? '""' : encodeDuration(value))
}

const sizeUnits = ["", "k", "m", "g", "t", "p"]

/**
 * A size of memory in bytes, spelled "12MiB" or "500k"; all units are powers of 1024, as in Docker's notation.
 * An empty string means `empty`.
 */
export const memorySize = (empty: number): Kind<number> => {
  const expected = 'a size such as "12MiB" or "500KiB"'
  return {
    expected,
    decode: (node) => {
      if (node.type !== "string") return wrongType(node, expected)
      if (node.value === "") return Result.succeed(empty)
      const [, number, unit = ""] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(node.value) ?? []
      if (number === undefined) return wrongValue(node, expected)
      const bytes = Math.floor(Number(number) * 1024 ** sizeUnits.indexOf(unit.toLowerCase()))
      return Number.isSafeInteger(bytes) ? Result.succeed(bytes) : wrongValue(node, expected)
    },
    fromText: textNode,
    encode: (bytes) => {
      const power = bytes === 0 ? 0 : ([5, 4, 3, 2, 1].find((exponent) => bytes % 1024 ** exponent === 0) ?? 0)
      return printString(power === 0 ? `${bytes}B` : `${bytes / 1024 ** power}${"KMGTP"[power - 1]}iB`)
    }
  }
}

/** A TCP port written as a string. */
export const portText: Kind<number> = {
  expected: 'a port number in quotes, "0" to "65535"',
  decode: (node) => {
    if (node.type !== "string") return wrongType(node, portText.expected)
    const valid = /^\d{1,5}$/.test(node.value) && Number(node.value) <= 65_535
    return valid ? Result.succeed(Number(node.value)) : wrongValue(node, portText.expected)
  },
  fromText: textNode,
  encode: (value) => printString(String(value))
}
