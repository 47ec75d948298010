/** Reads messages as Go does: one string that is not UTF-8, and the whole message is refused. */
import { isUtf8 } from "node:buffer"
import { BinaryReader } from "@bufbuild/protobuf/wire"

class StrictReader extends BinaryReader {
  override string(): string {
    const bytes = this.bytes()
    if (!isUtf8(bytes)) throw new Error(`string field contains invalid UTF-8: ${Buffer.from(bytes).toString("hex")}`)
    return Buffer.from(bytes).toString("utf8")
  }
}

export const decodeStrictly = <A>(type: { readonly decode: (input: BinaryReader) => A }, bytes: Uint8Array): A =>
  type.decode(new StrictReader(bytes))
