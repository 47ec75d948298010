import { assert, it } from "@effect/vitest"
import { parseNetworkDevices } from "../../../src/linux/internal/networkCounters.ts"

const recorded = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 2776770   11307    0    0    0     0          0         0  2776770   11307    0    0    0     0       0          0
  eth0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16
`

it("interfaces by name, with counters of 64 bits that may touch the colon", () => {
  const [lo, eth0, ...more] = parseNetworkDevices(recorded)
  assert.deepStrictEqual(lo?.received, { bytes: 2776770n, packets: 11307n, errors: 0n, dropped: 0n })
  assert.deepStrictEqual(eth0, {
    name: "eth0",
    received: { bytes: 18446744073709551615n, packets: 2n, errors: 3n, dropped: 4n },
    transmitted: { bytes: 9n, packets: 10n, errors: 11n, dropped: 12n }
  })
  assert.deepStrictEqual(more, [])
  assert.deepStrictEqual(parseNetworkDevices(""), [])
})
