/** What can be wrong with a cgroup beyond a refused system call. */
import { Schema } from "effect"

/** `cgroup` is a path in the hierarchy, or the parent that kubelet asked for. */
export class CgroupError extends Schema.TaggedError<CgroupError>()("CgroupError", {
  cgroup: Schema.String,
  reason: Schema.String
}) {
  override get message(): string {
    return `cgroup ${JSON.stringify(this.cgroup)}: ${this.reason}`
  }
}
