import { namespacesContract } from "./contracts/Namespaces.contract.ts"
import { simulatedLayer, simulatedRoot } from "./simulated.ts"

namespacesContract("simulated", { layer: simulatedLayer, root: simulatedRoot })
