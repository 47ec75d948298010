/** [crio.runtime.workloads.*]: classes of pods that may override resources. */
import { list } from "../kind/composite.ts"
import { integer, text } from "../kind/scalar.ts"
import { cpuset } from "../kind/formats.ts"
import { collection, option, section } from "./option.ts"

export const workloads = collection(
  {
    doc: "Workloads by name: classes of pods whose containers may override CPU resources by annotation.",
    built: false,
    validName: /^[A-Za-z0-9][A-Za-z0-9._-]*$/
  },
  {
    activation_annotation: option(text, {
      default: "",
      doc: "Annotation whose presence on a pod, with whatever value, makes it part of this workload. Required.",
      built: false
    }),
    annotation_prefix: option(text, {
      default: "",
      doc: 'Prefix of the annotations by which a pod overrides resources of one container: `PREFIX/CONTAINER = {"cpushares": "20"}`.',
      built: false
    }),
    allowed_annotations: option(list(text, "strings"), {
      default: [],
      doc: "Annotations with effect that pods of this workload may use.",
      built: false
    }),
    resources: section(
      "What the containers of a workload get unless annotations say otherwise. 0 or empty sets nothing.",
      {
        cpushares: option(integer({ min: 0 }), {
          default: 0,
          doc: "CPU shares.",
          built: false
        }),
        cpuquota: option(integer({ unit: "microseconds" }), {
          default: 0,
          doc: "CPU time per period.",
          built: false
        }),
        cpuperiod: option(integer({ min: 0, unit: "microseconds" }), {
          default: 0,
          doc: "Length of a period.",
          built: false
        }),
        cpuset: option(cpuset, {
          default: "",
          doc: "CPUs, as a list such as `0-3,7`.",
          built: false
        }),
        cpulimit: option(integer({ unit: "millicores" }), {
          default: 0,
          doc: "CPU limit; wins over cpuquota.",
          built: false
        })
      }
    )
  }
)
