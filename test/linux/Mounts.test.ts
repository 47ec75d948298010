import { Layer } from "effect"
import { Files } from "../../src/linux/Files.ts"
import { Mounts } from "../../src/linux/Mounts.ts"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { mountsContract } from "./contracts/Mounts.contract.ts"
import { scratchRoot } from "./real.ts"

mountsContract("real", { layer: Layer.mergeAll(Files.layer, Mounts.layer, Namespaces.layer), root: scratchRoot() })
