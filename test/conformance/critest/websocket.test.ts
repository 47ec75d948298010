import { webSocketSpecs } from "./specsOf.ts"

webSocketSpecs("crun")
webSocketSpecs("runc")
