/** Specifications of the Container Device Interface (tags.cncf.io/container-device-interface, SPEC.md). No effects. */
import { Effect, Result, Schema } from "effect"
import { parse as parseYaml } from "effect/encoding/Yaml"
import { parseJson } from "../../model/RuntimeSpec.ts"

const listOf = <S extends Schema.Top>(item: S) =>
  Schema.Array(item).pipe(Schema.withDecodingDefaultKey(Effect.succeed([])))
const text = Schema.String.pipe(Schema.withDecodingDefaultKey(Effect.succeed("")))

const DeviceNode = Schema.Struct({
  path: Schema.NonEmptyString,
  /** Where the host has it; "" for the same place. */
  hostPath: text,
  /** Looked up on the host where it is "". */
  type: Schema.Literals(["", "b", "c", "u", "p"]).pipe(Schema.withDecodingDefaultKey(Effect.succeed("" as const))),
  major: Schema.optionalKey(Schema.Natural),
  minor: Schema.optionalKey(Schema.Natural),
  fileMode: Schema.optionalKey(Schema.Natural),
  /** Of "r", "w", "m"; "" is all. */
  permissions: text.check(Schema.isPattern(/^[rwm]{0,3}$/)),
  uid: Schema.optionalKey(Schema.Natural),
  gid: Schema.optionalKey(Schema.Natural)
})
export type CdiDeviceNode = typeof DeviceNode.Type

const Hook = Schema.Struct({
  hookName: Schema.Literals([
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop"
  ]),
  path: Schema.String.check(Schema.isPattern(/^\//)),
  args: listOf(Schema.String),
  env: listOf(Schema.String),
  /** Seconds. */
  timeout: Schema.optionalKey(Schema.Natural)
})

const Edits = Schema.Struct({
  /** "NAME=value". */
  env: listOf(Schema.String.check(Schema.isPattern(/^[^=\0]+=[^\0]*$/))),
  deviceNodes: listOf(DeviceNode),
  mounts: listOf(
    Schema.Struct({
      hostPath: Schema.NonEmptyString,
      containerPath: Schema.String.check(Schema.isPattern(/^\/[^\0]+$/)),
      type: text,
      options: listOf(Schema.String)
    })
  ),
  hooks: listOf(Hook),
  additionalGids: listOf(Schema.Natural),
  // Of newer versions; a container that needs them must not start without.
  netDevices: listOf(Schema.Unknown),
  intelRdt: Schema.optionalKey(Schema.Unknown)
})
/** Changes to a container's specification. */
export type ContainerEdits = typeof Edits.Type

const noEdits: typeof Edits.Encoded = {}
const edits = Edits.pipe(Schema.withDecodingDefaultKey(Effect.succeed(noEdits)))

const vendorAndClass = /^[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]?\/[A-Za-z][A-Za-z0-9_-]*$/
const deviceName = /^[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?$/

const Document = Schema.Struct({
  cdiVersion: Schema.String.check(Schema.isPattern(/^v?[01]\.\d+\.\d+$/)),
  /** "vendor.com/class". */
  kind: Schema.String.check(Schema.isPattern(vendorAndClass)),
  devices: Schema.Array(
    Schema.Struct({ name: Schema.String.check(Schema.isPattern(deviceName)), containerEdits: edits })
  ),
  /** For whoever gets one of the devices. */
  containerEdits: edits
})
export type CdiSpec = typeof Document.Type

const decode = Schema.decodeUnknownResult(Document)

export const isSpecFile = (name: string): boolean => /\.(json|yaml|yml)$/.test(name)

/** The failure says in one line what is wrong with the file. */
export const parseCdiSpec = (name: string, content: string): Result.Result<CdiSpec, string> =>
  Result.try({
    try: (): unknown => (name.endsWith(".json") ? parseJson(content) : parseYaml(content)),
    catch: (error) => error as Error
  }).pipe(
    Result.flatMap((document) => decode(document)),
    Result.mapError(({ message }) => message.split("\n").join(" "))
  )

/** "vendor.com/class=name". */
export const isQualifiedName = (name: string): boolean => {
  const equals = name.indexOf("=")
  return equals > 0 && vendorAndClass.test(name.slice(0, equals)) && deviceName.test(name.slice(equals + 1))
}
