import { crictlSuite } from "./suite.ts"

crictlSuite("crun", 81)
