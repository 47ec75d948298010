import { webSocketSpecs } from "./specsOf.ts"

webSocketSpecs("crun")
