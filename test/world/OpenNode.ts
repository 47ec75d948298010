/** Regular files as descriptors hold them. */
import { Errno } from "./Errno.ts"
import { DynamicFile, FileNode } from "./Node.ts"
import type { Location } from "./Paths.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** An open regular file: survives the loss of its name. */
export class OpenNode {
  readonly node: FileNode | DynamicFile
  readonly location: Location
  private readonly notify: (location: Location) => void
  private offset = 0
  private readonly appending: boolean
  constructor(
    notify: (location: Location) => void,
    location: Location,
    node: FileNode | DynamicFile,
    appending: boolean
  ) {
    this.notify = notify
    this.location = location
    this.node = node
    this.appending = appending
  }
  read(offset: number, length: number): Uint8Array {
    return contentOf(this.node).subarray(offset, offset + length)
  }
  write(bytes: Uint8Array): void {
    const at = this.appending ? contentOf(this.node).length : this.offset
    this.writeAt(at, bytes)
    this.offset = at + bytes.length
  }
  writeAt(offset: number, bytes: Uint8Array): void {
    if (this.node instanceof DynamicFile) setDynamic(this.node, decoder.decode(bytes))
    else this.node.write(offset, bytes)
    this.notify(this.location)
  }
  sync(): void {
    if (this.node instanceof FileNode) this.node.sync()
  }
}

export const contentOf = (node: FileNode | DynamicFile): Uint8Array =>
  node instanceof FileNode ? node.read() : encoder.encode(node.get())

export const setDynamic = (node: DynamicFile, value: string): void => {
  if (node.set === undefined) throw new Errno("EACCES")
  node.set(value)
}
