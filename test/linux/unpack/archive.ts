/** Archives made by hand, so that they can say what no tar program would. Names are byte strings. */

export interface Entry {
  readonly name: string
  readonly type?: string
  readonly link?: string
  readonly mode?: number
  readonly uid?: number
  readonly gid?: number
  readonly mtime?: number
  readonly body?: Buffer | string
  /** Announced size, where it is not the body's. */
  readonly size?: number
  readonly major?: number
  readonly minor?: number
  readonly magic?: string
  readonly patch?: (block: Buffer) => void
}

const octal = (block: Buffer, value: number, offset: number, length: number) =>
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, offset, "latin1")

const pad = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)])

export const entry = (e: Entry): Buffer => {
  const body = typeof e.body === "string" ? Buffer.from(e.body) : (e.body ?? Buffer.alloc(0))
  const block = Buffer.alloc(512)
  block.write(e.name, 0, 100, "latin1")
  octal(block, e.mode ?? 0o644, 100, 8)
  octal(block, e.uid ?? 0, 108, 8)
  octal(block, e.gid ?? 0, 116, 8)
  octal(block, e.size ?? body.length, 124, 12)
  octal(block, e.mtime ?? 1_000_000_000, 136, 12)
  block.write(e.type ?? "0", 156, "latin1")
  block.write(e.link ?? "", 157, 100, "latin1")
  block.write(e.magic ?? "ustar\x0000", 257, "latin1")
  octal(block, e.major ?? 0, 329, 8)
  octal(block, e.minor ?? 0, 337, 8)
  e.patch?.(block)
  block.fill(0x20, 148, 156)
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
    "latin1"
  )
  return Buffer.concat([block, pad(body)])
}

export const paxRecord = (key: string, value: Buffer | string): Buffer => {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), Buffer.from(value), Buffer.from("\n")])
  let length = rest.length + 1
  while (`${length}`.length + rest.length !== length) length = `${length}`.length + rest.length
  return Buffer.concat([Buffer.from(`${length}`), rest])
}

/** A PAX extended header, for the entry after it. */
export const pax = (records: Readonly<Record<string, Buffer | string>>): Buffer =>
  entry({
    name: "PaxHeaders/x",
    type: "x",
    body: Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, value)))
  })

export const endMark = Buffer.alloc(1024)

export const archive = (...parts: ReadonlyArray<Buffer>): Buffer => Buffer.concat([...parts, endMark])

/** GNU long name ("L") or long link ("K"). */
export const long = (type: "L" | "K", text: string): Buffer =>
  entry({ name: "././@LongLink", type, body: Buffer.from(`${text}\0`, "latin1"), magic: "ustar  \0" })
