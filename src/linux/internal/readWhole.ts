/** Whole files: regular ones and those that procfs, sysfs and cgroupfs make up while they are read (size 0). */
import { constants, fstatSync } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import { Refused } from "./attempt.ts"

const firstChunk = 16 * 1024
const largestChunk = 1024 * 1024

/** Opens a regular file without ever blocking on a FIFO; anything else is refused. */
export const openRegular = async (
  path: string,
  flags: number,
  permissions?: number
): Promise<{ readonly file: FileHandle; readonly size: number }> => {
  const file = await open(path, flags | constants.O_NONBLOCK | constants.O_NOCTTY, permissions)
  try {
    // The kernel has the inode at hand; a thread of the pool would cost more than the call.
    const stat = fstatSync(file.fd)
    if (stat.isDirectory()) throw new Refused("EISDIR", "is a directory")
    if (!stat.isFile()) throw new Refused("EINVAL", "is a special file")
    return { file, size: stat.size }
  } catch (error) {
    await file.close()
    throw error
  }
}

export const readWhole = async (path: string, maxBytes: number): Promise<Uint8Array> => {
  const { file, size } = await openRegular(path, constants.O_RDONLY)
  try {
    if (size > maxBytes) throw tooLarge(maxBytes)
    const chunks: Array<Uint8Array> = []
    let total = 0
    // The size is only a hint (0 in /proc, a page in /sys), so read on until it is reached or nothing comes, and up to
    // one byte beyond the limit.
    for (let length = Math.max(size + 1, firstChunk); ; length = Math.min(length * 2, largestChunk)) {
      const chunk = Buffer.allocUnsafe(Math.min(length, maxBytes + 1 - total))
      const { bytesRead } = await file.read(chunk, 0, chunk.length, null)
      if (bytesRead === 0) break
      total += bytesRead
      if (total > maxBytes) throw tooLarge(maxBytes)
      chunks.push(chunk.subarray(0, bytesRead))
      if (total === size) break
    }
    return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
  } finally {
    await file.close()
  }
}

const tooLarge = (maxBytes: number) => new Refused("EFBIG", `is larger than ${maxBytes} bytes`)
