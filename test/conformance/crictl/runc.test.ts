import { crictlSuite } from "./suite.ts"

crictlSuite("runc", 82)
