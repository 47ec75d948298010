import { Files } from "../../src/linux/Files.ts"
import { filesContract } from "./contracts/Files.contract.ts"
import { scratchRoot } from "./real.ts"

filesContract("real", { layer: Files.layer, root: scratchRoot() })
