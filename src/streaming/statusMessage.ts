/** What an exec or an attachment's error stream says at its end. */
import type { StreamStatus } from "./Session.ts"

/** Of `channel.k8s.io` (1) to `v5.channel.k8s.io`. */
export type RemoteCommandVersion = 1 | 2 | 3 | 4 | 5

/** Versions from this on write a Status object, always; older ones a text, and only of failures. */
const firstWithStatus = 4

// Clients read an exit code as one byte without a sign.
const exitCode = (code: number): number => (code >= 0 && code <= 255 ? code : 255)

const exitMessage = (code: number) => `command terminated with non-zero exit code: ${exitCode(code)}`

const statusObject = (status: StreamStatus) => {
  if (status._tag === "Failed") {
    const message = `Internal error occurred: ${status.message}`
    return { status: "Failure", message, reason: "InternalError", code: 500 }
  }
  if (status._tag === "Ended" || status.code === 0) return { status: "Success" }
  return {
    status: "Failure",
    message: exitMessage(status.code),
    reason: "NonZeroExitCode",
    details: { causes: [{ reason: "ExitCode", message: String(exitCode(status.code)) }] }
  }
}

/** The text for the error stream; empty when there is nothing to write on it. */
export const statusMessage = (status: StreamStatus, version: RemoteCommandVersion): string => {
  if (version >= firstWithStatus) return JSON.stringify(statusObject(status))
  if (status._tag === "Failed") return status.message
  return status._tag === "Ended" || status.code === 0 ? "" : exitMessage(status.code)
}
