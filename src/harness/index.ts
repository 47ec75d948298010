/**
 * The property harness as a library: a project adds operations, rules and profiles of its own and runs them beside the
 * built-in ones.
 */
export { type CallOptions, type Cri, message, RpcFailure, type RpcName } from "./Cri.ts"
export { compare, type CompareOptions, describeDisagreements, type Disagreement } from "./compare.ts"
export { InvalidInput, TargetError, Violation } from "./HarnessError.ts"
export { type Difference, differences, type HostState, readHostState } from "./HostState.ts"
export { type Judge, makeJudge, makeOnlooker, type RuleCount } from "./Judge.ts"
export { type HarnessProgram, runHarness, services } from "./main.ts"
export * from "./Model.ts"
export {
  answered,
  describe,
  type Invariant,
  numberOf,
  type Operation,
  type Outcome,
  type Parameters,
  type Prepared,
  type Services,
  type Site,
  type Surroundings,
  textOf,
  type Touch,
  valueOf
} from "./Operation.ts"
export { allOperations, chooseOperations } from "./operations.ts"
export { decodeProfile, type Profile } from "./Profile.ts"
export { builtInProfiles } from "./profiles.ts"
export { decodeReport, type Report, toJUnit, toMarkdown, toSummary } from "./Report.ts"
export { addRule, allRules, isRule } from "./Rules.ts"
export { run, type RunOptions } from "./run.ts"
export { makeRunner, type Result, type Runner, shrink, type ShrinkOptions } from "./Runner.ts"
export { type Call, decodeScenario, drawScenario, type ScenarioFile, type Step } from "./Scenario.ts"
export {
  type CommandStatus,
  channels,
  commandStreams,
  openStream,
  type OpenStream,
  portChannels,
  portStreams,
  statusOf
} from "./StreamClient.ts"
export { type Target } from "./Target.ts"
