import { Layer } from "effect"
import { Files } from "../../src/linux/Files.ts"
import { Namespaces } from "../../src/linux/Namespaces.ts"
import { namespacesContract } from "./contracts/Namespaces.contract.ts"
import { scratchRoot } from "./real.ts"

namespacesContract("real", { layer: Layer.mergeAll(Files.layer, Namespaces.layer), root: scratchRoot() })
