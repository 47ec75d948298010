import { filesContract } from "./contracts/Files.contract.ts"
import { simulatedLayer, simulatedRoot } from "./simulated.ts"

filesContract("simulated", { layer: simulatedLayer, root: simulatedRoot })
