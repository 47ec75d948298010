/**
 * The text that both sides of a SPDY/3 connection put before the first header block, so that even the first one
 * compresses well (SPDY Protocol Draft 3, section 2.6.10.1): header names of the time with their lengths, then words
 * that stand in values.
 */
import { Buffer } from "node:buffer"

const names =
  "options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow " +
  "authorization cache-control connection content-base content-encoding content-language content-length " +
  "content-location content-md5 content-range content-type date etag expect expires from host if-match " +
  "if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma " +
  "proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade " +
  "user-agent vary via warning www-authenticate method get status"

// In the middle of the names: it holds a blank.
const okay = "200 OK"

const namesAfterOkay = "version HTTP/1.1 url public set-cookie keep-alive origin"

const words =
  "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505" +
  "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized" +
  "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable" +
  "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT" +
  "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain," +
  "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."

const withLength = (text: string): Buffer => {
  const bytes = Buffer.alloc(4 + text.length)
  bytes.writeUInt32BE(text.length)
  bytes.write(text, 4, "latin1")
  return bytes
}

/** 1423 bytes. */
export const headerDictionary: Buffer = Buffer.concat([
  ...[...names.split(" "), okay, ...namesAfterOkay.split(" ")].map(withLength),
  Buffer.from(words, "latin1")
])

/** Adler-32 of the dictionary, which the first block of a direction carries (RFC 1950, section 2.2). */
export const headerDictionaryId = 0xe3c6a7c2
