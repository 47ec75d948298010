/** The wire contract: what buf compiles from proto/ equals the table of CRI v1, and src/gen is what buf makes of it. */
import { fromBinary } from "@bufbuild/protobuf"
import {
  type DescriptorProto,
  type EnumDescriptorProto,
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorSetSchema
} from "@bufbuild/protobuf/wkt"
import { execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"

/** One field of the table: number, type, label, then the options that are set. */
type FieldRow = readonly [number: number, type: string, label: string, ...options: ReadonlyArray<string>]

interface Table {
  readonly package: string
  readonly services: Record<string, Record<string, readonly [request: string, response: string, streams: string]>>
  readonly messages: Record<string, Record<string, FieldRow>>
  readonly enums: Record<string, Record<string, number>>
}

const repository = join(import.meta.dirname, "../..")
const table = JSON.parse(readFileSync(join(import.meta.dirname, "fixtures/cri-v1.json"), "utf8")) as Table
let scratch: string
let compiled: Table

const local = (name: string): string => name.replace(/^\.runtime\.v1\./, "")

const scalar = (type: FieldDescriptorProto_Type): string => FieldDescriptorProto_Type[type].toLowerCase()

const fieldRow = (message: DescriptorProto, field: DescriptorProto["field"][number]): FieldRow => {
  const named =
    field.type === FieldDescriptorProto_Type.MESSAGE || field.type === FieldDescriptorProto_Type.ENUM
      ? local(field.typeName)
      : scalar(field.type)
  const entry = message.nestedType.find((nested) => nested.options?.mapEntry && named.endsWith(`.${nested.name}`))
  const [type, label] =
    entry === undefined
      ? [named, field.label === FieldDescriptorProto_Label.REPEATED ? "repeated" : "singular"]
      : [`map<${entry.field.map((part) => scalar(part.type)).join(",")}>`, "map"]
  const options = [
    ...(field.options?.deprecated ? ["deprecated"] : []),
    ...(field.options?.debugRedact ? ["debug_redact"] : [])
  ]
  return [field.number, type, label, ...options]
}

const enumRow = (type: EnumDescriptorProto): Record<string, number> =>
  Object.fromEntries(type.value.map((value) => [value.name, value.number]))

/** Reads a FileDescriptorSet of one file into the shape of the table. */
const readTable = (bytes: Uint8Array): Table => {
  const { file } = fromBinary(FileDescriptorSetSchema, bytes)
  const [api] = file
  if (api === undefined || file.length > 1) throw new Error(`buf compiled ${file.length} files`)
  // An explicit presence (proto3 `optional`) is a oneof as well.
  for (const message of api.messageType) assert.isEmpty(message.oneofDecl, `oneof in ${message.name}`)
  return {
    package: api.package,
    services: Object.fromEntries(
      api.service.map((service) => [
        service.name,
        Object.fromEntries(
          service.method.map((method) => [
            method.name,
            [
              local(method.inputType),
              local(method.outputType),
              (method.clientStreaming ? "client" : "") + (method.serverStreaming ? "server" : "")
            ] as const
          ])
        )
      ])
    ),
    messages: Object.fromEntries(
      api.messageType.map((message) => [
        message.name,
        Object.fromEntries(message.field.map((field) => [field.name, fieldRow(message, field)]))
      ])
    ),
    enums: Object.fromEntries([
      ...api.enumType.map((type) => [type.name, enumRow(type)] as const),
      ...api.messageType.flatMap((message) =>
        message.enumType.map((type) => [`${message.name}.${type.name}`, enumRow(type)] as const)
      )
    ])
  }
}

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "cricket-gen-"))
  const image = join(scratch, "api.binpb")
  execFileSync(join(repository, "node_modules/.bin/buf"), ["build", "--as-file-descriptor-set", "-o", image], {
    cwd: repository
  })
  compiled = readTable(readFileSync(image))
})

afterAll(() => rmSync(scratch, { recursive: true, force: true }))

describe("proto/runtime/v1/api.proto", () => {
  it("has the size of CRI v1 at 1.37", () => {
    const count = (groups: Record<string, object>): number =>
      Object.values(groups).reduce((sum, group) => sum + Object.keys(group).length, 0)
    assert.deepStrictEqual(
      {
        messages: Object.keys(compiled.messages).length,
        fields: count(compiled.messages),
        enums: Object.keys(compiled.enums).length,
        rpcs: Object.values(compiled.services).map((service) => Object.keys(service).length)
      },
      { messages: 175, fields: 478, enums: 11, rpcs: [37, 6] }
    )
  })

  it("has the services, RPCs and streaming flags of the table", () => {
    assert.strictEqual(compiled.package, table.package)
    assert.deepStrictEqual(compiled.services, table.services)
  })

  it("has the messages and fields of the table: name, number, type, label, deprecated, debug_redact", () => {
    assert.deepStrictEqual(compiled.messages, table.messages)
  })

  it("has the enums and numbers of the table", () => {
    assert.deepStrictEqual(compiled.enums, table.enums)
  })
})

describe("src/gen", () => {
  it("is what scripts/gen.mjs makes of proto/", () => {
    execFileSync(process.execPath, [join(repository, "scripts/gen.mjs"), scratch], { cwd: repository })
    const files = (root: string) =>
      readdirSync(join(root, "src/gen"), { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
        .sort()
    assert.deepStrictEqual(files(scratch), files(repository))
    for (const file of files(repository)) {
      assert.isTrue(readFileSync(join(repository, file)).equals(readFileSync(join(scratch, file))), `${file} is stale`)
    }
  })
})
