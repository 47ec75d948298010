/** Hook definitions of hooks_dir (oci-hooks(5), version 1.0.0): which hook runs, at which stages, for which containers. */
import { Effect, Result, Schema } from "effect"
import { type Hook, type HookStage, parseJson } from "../../model/RuntimeSpec.ts"

const texts = Schema.Array(Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))

const Definition = Schema.Struct({
  version: Schema.Literal("1.0.0"),
  hook: Schema.Struct({
    path: Schema.String.check(Schema.isPattern(/^\//)),
    args: texts,
    env: texts,
    /** Seconds. */
    timeout: Schema.optionalKey(Schema.Natural)
  }),
  /** All that are given have to hold, at least one has to be given. */
  when: Schema.Struct({
    always: Schema.optionalKey(Schema.Boolean),
    /** Patterns of a name and its value: some annotation of the container has both. */
    annotations: Schema.Record(Schema.String, Schema.String).pipe(Schema.withDecodingDefaultKey(Effect.succeed({}))),
    /** Patterns of the program, one of which has to match. */
    commands: texts,
    hasBindMounts: Schema.optionalKey(Schema.Boolean)
  }),
  stages: Schema.NonEmptyArray(
    Schema.Literals(["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
  )
})

/** What a definition asks of a container. */
export interface HookSubject {
  readonly annotations: Readonly<Record<string, string>>
  /** First argument of the process. */
  readonly command: string
  /** The request mounts paths of the host. */
  readonly hasBindMounts: boolean
}

export interface HookDefinition {
  readonly hook: Hook
  readonly stages: ReadonlyArray<HookStage>
  readonly matches: (subject: HookSubject) => boolean
}

type Condition = (subject: HookSubject) => boolean

const conditionsOf = (when: (typeof Definition.Type)["when"]): ReadonlyArray<Condition> => {
  const annotations = Object.entries(when.annotations).map(([name, value]) => ({
    name: new RegExp(name),
    value: new RegExp(value)
  }))
  const commands = when.commands.map((pattern) => new RegExp(pattern))
  const { always, hasBindMounts } = when
  return [
    ...(always === undefined ? [] : [() => always]),
    ...(hasBindMounts === undefined ? [] : [(subject: HookSubject) => hasBindMounts && subject.hasBindMounts]),
    ...annotations.map(
      (pattern) => (subject: HookSubject) =>
        Object.entries(subject.annotations).some(
          ([name, value]) => pattern.name.test(name) && pattern.value.test(value)
        )
    ),
    ...(commands.length === 0
      ? []
      : [(subject: HookSubject) => commands.some((pattern) => pattern.test(subject.command))])
  ]
}

const decode = Schema.decodeUnknownResult(Definition)
const asError = (error: unknown) => error as Error

/** The failure says in one line what is wrong with the file. */
export const parseHookDefinition = (content: string): Result.Result<HookDefinition, string> =>
  Result.try({ try: () => parseJson(content), catch: asError }).pipe(
    Result.flatMap((document) => decode(document)),
    Result.flatMap(({ hook, when, stages }) =>
      Result.try({
        try: () => {
          const conditions = conditionsOf(when)
          const matches = (subject: HookSubject) =>
            conditions.length > 0 && conditions.every((condition) => condition(subject))
          const { args, ...rest } = hook
          return { hook: args.length === 0 ? rest : hook, stages, matches }
        },
        // A pattern that is none.
        catch: asError
      })
    ),
    Result.mapError(({ message }) => message.split("\n").join(" "))
  )
