import { critestSpecs } from "./specsOf.ts"

critestSpecs("crun")
