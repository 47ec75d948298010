/** Bounds of the streaming server. Whoever reaches it may be hostile until a token says otherwise. */

/** Requests whose client has not come yet; CRI clients know ResourceExhausted from the thousandth on. */
export const maxOutstandingRequests = 1000

/** Milliseconds. */
export const tokenLifetimeMs = 60_000

/** Milliseconds until a client has opened all streams that it asked for. */
export const creationTimeoutMs = 30_000

/** Milliseconds without a byte in either direction; `stream_idle_timeout` replaces it. */
export const defaultIdleTimeoutMs = 4 * 60 * 60_000

/** Bytes of a request's head. */
export const maxHeadBytes = 16 * 1024

/** Milliseconds until a connection's request, and before it a TLS handshake, must be complete. */
export const headTimeoutMs = 10_000

/** Connections at a time; more are closed as they come. */
export const maxConnections = 1000

/** Bytes of one WebSocket message from the client. Clients send stdin in pieces of 32 KiB. */
export const maxMessageBytes = 4 * 1024 * 1024

/** Milliseconds that the peer has to close its side of a connection that we have ended. */
export const lingerMs = 5_000
