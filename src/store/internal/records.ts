/**
 * Records of containers/storage: layers.json, images.json, containers.json, mountpoints.json. Each keeps the object it
 * was read from, so fields that only another program knows survive our rewriting.
 */
import { Result } from "effect"
import { messageOf } from "../../linux/messageOf.ts"

type Json = Readonly<Record<string, unknown>>

/** A record that a codec made keeps what else the file said about it. */
interface Recorded {
  readonly raw: Json
}

export interface LayerRecord extends Recorded {
  readonly id: string
  readonly parent: string | undefined
  /** "sha256:…" of the uncompressed tar; containers' layers have none. */
  readonly diffId: string | undefined
  /** Bytes of the uncompressed tar; 0 where unknown. */
  readonly diffSize: number
  /** Being filled, or given up: whoever holds the write lock removes it. */
  readonly incomplete: boolean
}

export interface ImageRecord extends Recorded {
  readonly id: string
  readonly digest: string
  readonly names: ReadonlyArray<string>
  readonly layer: string | undefined
  readonly mappedLayers: ReadonlyArray<string>
  readonly bigDataNames: ReadonlyArray<string>
  readonly bigDataSizes: Readonly<Record<string, number>>
  readonly created: string
}

export interface ContainerRecord extends Recorded {
  readonly id: string
  readonly names: ReadonlyArray<string>
  readonly image: string
  readonly layer: string
  readonly metadata: string
  readonly created: string
}

export interface MountRecord extends Recorded {
  readonly id: string
  readonly path: string
  readonly count: number
}

const isObject = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)
const text = (raw: Json, key: string): string => (typeof raw[key] === "string" ? raw[key] : "")
const textOrNone = (raw: Json, key: string): string | undefined => text(raw, key) || undefined
const natural = (raw: Json, key: string): number => {
  const value = raw[key]
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : 0
}
const texts = (raw: Json, key: string): ReadonlyArray<string> => {
  const value = raw[key]
  return Array.isArray(value) ? value.filter((item): item is string => typeof item === "string") : []
}

/** Reads one kind of file. A record that cannot be understood is kept as it is and seen by nobody. */
export interface RecordCodec<R extends Recorded> {
  readonly read: (raw: Json) => R | undefined
}

export const layerCodec: RecordCodec<LayerRecord> = {
  read: (raw) => {
    const id = text(raw, "id")
    if (id === "") return undefined
    const flags = raw["flags"]
    return {
      raw,
      id,
      parent: textOrNone(raw, "parent"),
      diffId: textOrNone(raw, "diff-digest"),
      diffSize: natural(raw, "diff-size"),
      incomplete: isObject(flags) && flags["incomplete"] === true
    }
  }
}

export const imageCodec: RecordCodec<ImageRecord> = {
  read: (raw) => {
    const id = text(raw, "id")
    if (id === "") return undefined
    const sizes = raw["big-data-sizes"]
    return {
      raw,
      id,
      digest: text(raw, "digest"),
      names: texts(raw, "names"),
      layer: textOrNone(raw, "layer"),
      mappedLayers: texts(raw, "mapped-layers"),
      bigDataNames: texts(raw, "big-data-names"),
      bigDataSizes: isObject(sizes)
        ? Object.fromEntries(Object.keys(sizes).map((key) => [key, natural(sizes, key)]))
        : {},
      created: text(raw, "created")
    }
  }
}

export const containerCodec: RecordCodec<ContainerRecord> = {
  read: (raw) => {
    const id = text(raw, "id")
    if (id === "") return undefined
    return {
      raw,
      id,
      names: texts(raw, "names"),
      image: text(raw, "image"),
      layer: text(raw, "layer"),
      metadata: text(raw, "metadata"),
      created: text(raw, "created")
    }
  }
}

export const mountCodec: RecordCodec<MountRecord> = {
  read: (raw) => {
    const id = text(raw, "id")
    return id === "" ? undefined : { raw, id, path: text(raw, "path"), count: natural(raw, "count") }
  }
}

/** All of a file: what was understood, and the rest as it stood. */
export interface Records<R> {
  readonly known: ReadonlyArray<R>
  readonly unknown: ReadonlyArray<unknown>
}

export const noRecords: Records<never> = { known: [], unknown: [] }

export const parseRecords = <R extends Recorded>(
  codec: RecordCodec<R>,
  json: string
): Result.Result<Records<R>, string> => {
  if (json.trim() === "") return Result.succeed(noRecords)
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (error) {
    return Result.fail(`no JSON: ${messageOf(error)}`)
  }
  // Go writes an empty slice that was never filled as null.
  if (value === null) return Result.succeed(noRecords)
  if (!Array.isArray(value)) return Result.fail("expected a JSON array of records")
  const known: Array<R> = []
  const unknown: Array<unknown> = []
  for (const item of value as ReadonlyArray<unknown>) {
    const record = isObject(item) ? codec.read(item) : undefined
    if (record === undefined) unknown.push(item)
    else known.push(record)
  }
  return Result.succeed({ known, unknown })
}

export const printRecords = (records: Records<Recorded>): string =>
  JSON.stringify([...records.known.map((record) => record.raw), ...records.unknown])

/** A record made here from its JSON form. */
export const newRecord = <R extends Recorded>(codec: RecordCodec<R>, raw: Json): R => {
  const record = codec.read(raw)
  if (record === undefined) throw new Error("a new record needs an id")
  return record
}

/** The record with some fields changed and all others, known to us or not, as they were. */
export const changeRecord = <R extends Recorded>(codec: RecordCodec<R>, record: R, fields: Json): R =>
  newRecord(codec, { ...record.raw, ...fields })
