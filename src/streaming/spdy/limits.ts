/**
 * How much of a peer's input is held at most. Legitimate clients send three short headers per stream; unbounded counts
 * and sizes in frames are how SPDY servers were brought down (CVE-2026-35469).
 */

/** Bytes of a control frame after its first eight, header blocks in their compressed form. */
export const maxControlPayload = 64 * 1024

/** Bytes of all names and values of one header block with their lengths, decompressed. */
export const maxHeaderBlock = 64 * 1024

/** Names in one header block. */
export const maxHeaders = 1000

/** Bytes of one data frame that we send: other streams get their turn, and the peer needs no large buffer. */
export const maxDataFrame = 64 * 1024

/** Bytes that a stream holds for its reader before the connection is not read on. */
export const maxStreamBuffer = 256 * 1024

/** Bytes that all streams of a connection hold together before it is not read on. */
export const maxConnectionBuffer = 2 * 1024 * 1024

/** Frames that wait to be written because the peer asked for them: replies, PINGs, refusals. */
export const maxPendingReplies = 64
