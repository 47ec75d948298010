/** Clients of exec and attach as kubectl opens them: every stream from the start. */
import { Effect } from "effect"
import { SpdyClient, WebSocketClient } from "./clients.ts"

/** The status of a command that ended with 0. */
export const success = '{"status":"Success"}'

/** Of a status that tells one. */
export const exitCode = (text: string) => JSON.parse(text).details.causes[0].message

export const webSocket = (url: string, protocol: string) => Effect.promise(() => WebSocketClient.open(url, [protocol]))

export const spdy = (url: string, ...types: ReadonlyArray<string>) =>
  Effect.promise(() => SpdyClient.open(url, ["error", ...types]))
