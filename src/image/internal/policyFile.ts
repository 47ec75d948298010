/** containers-policy.json(5) as data, and which of its requirements an image has to meet. */
import { Result } from "effect"
import { formatReference, nameOf, pinned, type Reference } from "../Reference.ts"

const requirementTypes = ["insecureAcceptAnything", "reject", "signedBy", "sigstoreSigned", "signedBaseLayer"] as const
export type RequirementType = (typeof requirementTypes)[number]

/** Of what each requirement says beside its type nothing is kept. */
export type Requirements = ReadonlyArray<RequirementType>

export interface Policy {
  readonly default: Requirements
  /** By scope, of the transport "docker": what registries serve. */
  readonly scopes: ReadonlyMap<string, Requirements>
}

type Fields = Readonly<Record<string, unknown>>

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isType = (value: unknown): value is RequirementType =>
  (requirementTypes as ReadonlyArray<unknown>).includes(value)

/** A key that an object has twice: of its two values JSON.parse would take the second, and say nothing. */
const twice = (json: string): string | undefined => {
  const open: Array<Set<string>> = []
  for (const [token, text, colon] of json.matchAll(/"((?:[^"\\]|\\.)*)"(\s*:)?|[{}]/g)) {
    if (token === "{") open.push(new Set())
    else if (token === "}") open.pop()
    else if (colon !== undefined) {
      const key = String(JSON.parse(`"${text}"`))
      const keys = open.at(-1)
      if (keys?.has(key) === true) return key
      keys?.add(key)
    }
  }
  return undefined
}

const unknownKey = (fields: Fields, known: ReadonlyArray<string>): string | undefined =>
  Object.keys(fields).find((key) => !known.includes(key))

const parseRequirement = (value: unknown, where: string): Result.Result<RequirementType, string> => {
  if (!isFields(value)) return Result.fail(`${where} is no object`)
  const { type } = value
  if (!isType(type)) {
    return Result.fail(`${where}: unknown type ${JSON.stringify(type)}, known are ${requirementTypes.join(", ")}`)
  }
  const plain = type === "insecureAcceptAnything" || type === "reject"
  const key = plain ? unknownKey(value, ["type"]) : undefined
  return key === undefined ? Result.succeed(type) : Result.fail(`${where}: ${type} has no ${JSON.stringify(key)}`)
}

const parseRequirements = (value: unknown, where: string): Result.Result<Requirements, string> => {
  if (!Array.isArray(value) || value.length === 0) return Result.fail(`${where} is no list of requirements`)
  return Result.all(value.map((one, index) => parseRequirement(one, `${where}[${index}]`)))
}

const parseScopes = (transports: Fields): Result.Result<ReadonlyMap<string, Requirements>, string> => {
  const scopes = new Map<string, Requirements>()
  for (const [transport, value] of Object.entries(transports)) {
    if (!isFields(value)) return Result.fail(`transports.${transport} is no object`)
    for (const [scope, list] of Object.entries(value)) {
      const parsed = parseRequirements(list, `transports.${transport}[${JSON.stringify(scope)}]`)
      if (Result.isFailure(parsed)) return Result.fail(parsed.failure)
      if (transport === "docker") scopes.set(scope, parsed.success)
    }
  }
  return Result.succeed(scopes)
}

const parseJson = (text: string): Result.Result<unknown, string> =>
  Result.try({ try: (): unknown => JSON.parse(text), catch: (error) => `is not JSON: ${String(error)}` })

/** The whole file, or what is wrong with it: half of a policy is none. */
export const parsePolicy = (text: string): Result.Result<Policy, string> =>
  Result.flatMap(parseJson(text), (value): Result.Result<Policy, string> => {
    if (!isFields(value)) return Result.fail("is no JSON object")
    const doubled = twice(text)
    if (doubled !== undefined) return Result.fail(`has the key ${JSON.stringify(doubled)} twice in one object`)
    const unknown = unknownKey(value, ["default", "transports"])
    if (unknown !== undefined) return Result.fail(`has the unknown key ${JSON.stringify(unknown)}`)
    const transports = value.transports ?? {}
    if (!isFields(transports)) return Result.fail("transports is no object")
    return Result.flatMap(parseRequirements(value.default, "default"), (requirements) =>
      Result.map(parseScopes(transports), (scopes) => ({ default: requirements, scopes }))
    )
  })

/** Most specific first: the image, its repository, what stands above it, wildcards for its host without port, all. */
export const scopesOf = (reference: Reference): ReadonlyArray<string> => {
  const parts = nameOf(reference).split("/")
  const names = parts.map((_, index) => parts.slice(0, parts.length - index).join("/"))
  const labels = reference.domain.replace(/:\d+$/, "").split(".")
  const wildcards = labels.slice(1).map((_, index) => `*.${labels.slice(index + 1).join(".")}`)
  return [formatReference(pinned(reference)), ...names, ...wildcards, ""]
}

/** Only the most specific list counts: lists are never put together. */
export const requirementsOf = (policy: Policy, reference: Reference): Requirements => {
  const scope = scopesOf(reference).find((one) => policy.scopes.has(one))
  return (scope === undefined ? undefined : policy.scopes.get(scope)) ?? policy.default
}
