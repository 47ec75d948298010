/** The master of a pseudo-terminal. */
import type { Terminal } from "../Terminal.ts"
import { attemptSync } from "./attempt.ts"
import { type Descriptor, makeDescriptor } from "./descriptor.ts"
import type { Fd } from "./native.ts"
import { setTerminalSize } from "./nativeSockets.ts"

// n_tty gives at most a page at a time.
const readSize = 4096

export interface OwnedTerminal extends Terminal {
  readonly release: Descriptor["release"]
}

/** Owns the descriptor, which must be non-blocking. */
export const makeTerminal = (master: Fd, subject: string): OwnedTerminal => {
  // EIO: the last program has closed the other side.
  const descriptor = makeDescriptor(master, { subject, readSize, ends: ["EIO"] })
  return {
    output: descriptor.incoming,
    write: descriptor.write,
    resize: (size) =>
      attemptSync("resize", subject, () => {
        descriptor.use((fd) => setTerminalSize(fd, size))
      }),
    release: descriptor.release
  }
}
