import { Layer } from "effect"
import { Files } from "../../src/linux/Files.ts"
import { Processes } from "../../src/linux/Processes.ts"
import { processesContract } from "./contracts/Processes.contract.ts"
import { programs, scratchRoot } from "./real.ts"

processesContract("real", { layer: Layer.mergeAll(Files.layer, Processes.layer), root: scratchRoot(), programs })
