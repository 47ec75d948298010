import { critestSpecs } from "./specsOf.ts"

critestSpecs("runc")
