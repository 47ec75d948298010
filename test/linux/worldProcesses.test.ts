import { processesContract } from "./contracts/Processes.contract.ts"
import { programs, simulatedLayer, simulatedRoot } from "./simulated.ts"

processesContract("simulated", { layer: simulatedLayer, root: simulatedRoot, programs })
