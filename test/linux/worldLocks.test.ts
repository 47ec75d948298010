import { locksContract } from "./contracts/Locks.contract.ts"
import { simulatedLayer, simulatedRoot } from "./simulated.ts"

locksContract("simulated", { layer: simulatedLayer, root: simulatedRoot })
