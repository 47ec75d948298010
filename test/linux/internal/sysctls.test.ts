import { assert, it } from "@effect/vitest"
import { namespaceOfSysctl } from "../../../src/linux/internal/sysctls.ts"

it.each([
  ["net/ipv4/ip_forward", "net"],
  ["net/ipv4/conf/eth0.100/forwarding", "net"],
  ["kernel/shmmax", "ipc"],
  ["kernel/shm_rmid_forced", "ipc"],
  ["kernel/msgmnb", "ipc"],
  ["kernel/sem", "ipc"],
  ["fs/mqueue/msg_max", "ipc"],
  ["kernel/domainname", "uts"],
  ["kernel/semaphore", undefined],
  ["kernel/pid_max", undefined],
  ["kernel/shm/../pid_max", undefined],
  ["net", undefined],
  ["net/", undefined],
  ["net//ipv4", undefined],
  ["net/./ipv4", undefined],
  ["net/../vm/swappiness", undefined],
  ["/net/ipv4/ip_forward", undefined],
  ["net/ipv4/x\0y", undefined],
  ["", undefined]
] as const)("sysctl %j belongs to %s", (path, kind) => {
  assert.strictEqual(namespaceOfSysctl(path), kind)
})
