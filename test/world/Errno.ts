/** A refused system call of the simulated kernel. Thrown by its synchronous code; the seam's layers turn it into a LinuxError. */
export class Errno extends Error {
  readonly code: string
  constructor(code: string, detail = "") {
    super(detail === "" ? code : `${code}: ${detail}`)
    this.code = code
  }
}
