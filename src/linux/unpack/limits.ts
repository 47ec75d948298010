/** What a layer may ask of the host before it is refused. Real images stay far below; archives made to hurt do not. */

export interface UnpackLimits {
  /** Tar entries in one layer. */
  readonly entries: number
  /** Bytes of a path or a link target (PATH_MAX, limits.h). */
  readonly pathBytes: number
  /** Path components: each level may need a descriptor while a tree is replaced. */
  readonly depth: number
  /** Bytes of one PAX or GNU extension header. */
  readonly extensionBytes: number
  /** Data fragments of one sparse file. */
  readonly sparseFragments: number
  /** Bytes after the end mark; tar programs fill up their last record. */
  readonly trailingBytes: number
  /** Bytes of the uncompressed tar. */
  readonly inflatedBytes: number
  /** Uncompressed bytes per compressed byte, checked above `ratioFloorBytes`. */
  readonly ratio: number
  readonly ratioFloorBytes: number
}

const KiB = 1024
const GiB = 1024 ** 3

export const defaultLimits: UnpackLimits = {
  entries: 2_000_000,
  pathBytes: 4096,
  depth: 512,
  extensionBytes: 1024 * KiB,
  sparseFragments: 65_536,
  trailingBytes: 64 * 1024 * KiB,
  inflatedBytes: 512 * GiB,
  ratio: 250,
  ratioFloorBytes: 1 * GiB
}

/** The archive's fault, told with the entry that shows it ("" when none does). */
export class ArchiveError extends Error {
  readonly entry: string
  constructor(entry: string, reason: string) {
    super(reason)
    this.entry = entry
  }
}
