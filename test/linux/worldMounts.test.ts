import { mountsContract } from "./contracts/Mounts.contract.ts"
import { simulatedLayer, simulatedRoot } from "./simulated.ts"

mountsContract("simulated", { layer: simulatedLayer, root: simulatedRoot })
