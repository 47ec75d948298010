import { Layer } from "effect"
import { Files } from "../../src/linux/Files.ts"
import { Locks } from "../../src/linux/Locks.ts"
import { locksContract } from "./contracts/Locks.contract.ts"
import { scratchRoot } from "./real.ts"

locksContract("real", { layer: Layer.mergeAll(Files.layer, Locks.layer), root: scratchRoot() })
