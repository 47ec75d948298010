/** critest as one call: images, the binary, the namespaces it runs in, and its report as outcomes by the specs' names. */
import { execFile } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { buildCritest } from "../../../scripts/lib/goTools.mjs"
import { inPrivateMounts } from "../../../scripts/lib/setup.mjs"
import { makeImages } from "./images.ts"

export interface SuiteRequest {
  /** Everything of this run lies below it. */
  readonly directory: string
  /** Default handler: "crun" or "runc". */
  readonly runtime: string
  /** Regular expressions of the specs to run; all of them if there are none. */
  readonly focus?: ReadonlyArray<string>
  /** Further parameters of critest. */
  readonly parameters?: ReadonlyArray<string>
}

/** What run.ts reads. */
export interface RunRequest {
  readonly critest: string
  readonly runtime: string
  readonly layout: string
  readonly images: ReadonlyArray<string>
  readonly focus: ReadonlyArray<string>
  readonly parameters: ReadonlyArray<string>
}

export interface SpecResult {
  readonly name: string
  /** Whose it is: of the pinned module, or of tools/specs. */
  readonly source: "module" | "tools"
  readonly outcome: "passed" | "failed" | "skipped"
  /** Why it failed or was skipped, in critest's words. */
  readonly message: string
  readonly seconds: number
}

export interface SuiteReport {
  /** Gives the same order again: `--ginkgo.seed`. */
  readonly seed: number
  /** Pods that were still there when all specs were done. */
  readonly leftPods: number
  readonly specs: ReadonlyArray<SpecResult>
}

/** The part of ginkgo's JSON report that is read here; RunTime in nanoseconds. */
interface GinkgoReport {
  readonly SuiteConfig: { readonly RandomSeed: number }
  readonly SpecReports: ReadonlyArray<{
    readonly ContainerHierarchyTexts: ReadonlyArray<string> | null
    readonly LeafNodeType: string
    readonly LeafNodeText: string
    readonly LeafNodeLocation: { readonly FileName: string }
    readonly State: string
    readonly RunTime: number
    readonly Failure?: { readonly Message: string }
  }>
}

const outcomeOf = (state: string): SpecResult["outcome"] =>
  state === "passed" ? "passed" : state === "skipped" || state === "pending" ? "skipped" : "failed"

const ourSpecs = fileURLToPath(new URL("../tools/specs/", import.meta.url))

/** Benchmarks are specs of the same binary that the suite leaves out by itself. */
const readReport = (path: string): Omit<SuiteReport, "leftPods"> => {
  const [report] = JSON.parse(readFileSync(path, "utf8")) as ReadonlyArray<GinkgoReport>
  if (report === undefined) throw new Error(`${path} holds no report`)
  const specs = report.SpecReports.filter(({ LeafNodeType }) => LeafNodeType === "It")
    .map((spec) => ({
      name: [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" ").replace("[k8s.io] ", ""),
      source: spec.LeafNodeLocation.FileName.startsWith(ourSpecs) ? ("tools" as const) : ("module" as const),
      outcome: outcomeOf(spec.State),
      message: spec.Failure?.Message ?? "",
      seconds: spec.RunTime / 1e9
    }))
    .filter(({ name }) => !name.includes("benchmark"))
  return { seed: report.SuiteConfig.RandomSeed, specs }
}

/** Process 1 of the namespaces: takes in what monitors leave, and all that still runs ends with it. */
const asProcessOne = (command: ReadonlyArray<string>) => [
  "sh",
  "-c",
  'ip link set lo up; "$@"; exit $?',
  "sh",
  ...command
]

const namespaces = ["--net", "--ipc", "--pid", "--fork", "--kill-child", "--mount-proc"]

/** Past critest's own time-out; unshare heeds nothing milder while its child runs. */
const limit = { timeout: 24 * 60_000, killSignal: "SIGKILL" } as const

export const runSuite = async ({
  directory,
  runtime,
  focus = [],
  parameters = []
}: SuiteRequest): Promise<SuiteReport> => {
  const images = makeImages(`${directory}/layout`)
  const request: RunRequest = {
    critest: buildCritest(images.digest),
    runtime,
    layout: images.directory,
    images: images.names,
    focus,
    parameters
  }
  writeFileSync(`${directory}/run.json`, JSON.stringify(request))
  const script = fileURLToPath(new URL("run.ts", import.meta.url))
  const [unshare = "", ...rest] = inPrivateMounts(asProcessOne([process.execPath, script, directory]))
  try {
    await promisify(execFile)(unshare, [...namespaces, ...rest], limit)
  } catch (cause) {
    throw new Error(`critest did not run to its end; see ${directory}/critest.log and cricket.log there`, { cause })
  }
  const leftPods = Number(readFileSync(`${directory}/leftPods`, "utf8"))
  return { ...readReport(`${directory}/report.json`), leftPods }
}
