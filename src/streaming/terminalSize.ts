/** The size of a client's terminal, as it comes on the resize stream. */
import type { TerminalSize } from "../linux/Terminal.ts"

const largest = 65_535

const side = (value: unknown): value is number =>
  typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= largest

/** One JSON object with Width and Height; undefined when it is none, or a side is not there. */
export const terminalSize = (text: string): TerminalSize | undefined => {
  try {
    const { Width: width, Height: height } = JSON.parse(text) as { readonly Width?: unknown; readonly Height?: unknown }
    return side(width) && side(height) ? { width, height } : undefined
  } catch {
    return undefined
  }
}
