import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { bandwidthOf } from "../../src/cni/internal/bandwidth.ts"
import { identityProblem, runtimeArgumentsOf } from "../../src/cni/internal/runtimeArguments.ts"
import { attachment } from "./fakePlugins.ts"

const ingress = "kubernetes.io/ingress-bandwidth"
const egress = "kubernetes.io/egress-bandwidth"

describe("bandwidth annotations", () => {
  const rates: ReadonlyArray<readonly [string, number]> = [
    ["10M", 10_000_000],
    ["1000", 1000],
    ["512Ki", 524_288],
    ["1.5G", 1_500_000_000],
    ["2e6", 2_000_000],
    ["1P", 1e15]
  ]
  for (const [text, rate] of rates) {
    it(`${text} is ${rate} bits per second`, () => {
      assert.strictEqual(Result.getOrThrow(bandwidthOf({ [ingress]: text }))?.ingressRate, rate)
    })
  }

  it("limits only the direction that is named", () => {
    assert.deepStrictEqual(Result.getOrThrow(bandwidthOf({ [egress]: "1M" })), {
      ingressRate: 0,
      ingressBurst: 0,
      egressRate: 1_000_000,
      egressBurst: 0xffff_ffff * 8 - 1
    })
    assert.isUndefined(Result.getOrThrow(bandwidthOf({ other: "1M" })))
  })

  for (const text of ["", "10", "fast", "-1M", "2P", "10 M", "10m", "0x10"]) {
    it(`refuses ${JSON.stringify(text)}`, () => {
      assert.include(Result.getOrThrow(Result.flip(bandwidthOf({ [ingress]: text }))), ingress)
    })
  }
})

describe("what plugins are told of a pod", () => {
  it("leaves out ports that are not published", () => {
    const { capabilityArgs } = Result.getOrThrow(runtimeArgumentsOf(attachment()))
    assert.deepStrictEqual(capabilityArgs, {
      portMappings: [
        { hostPort: 28080, containerPort: 80, protocol: "tcp" },
        { hostPort: 28053, containerPort: 53, protocol: "udp", hostIP: "127.0.0.9" }
      ]
    })
  })

  it("has nothing to say for a plain pod", () => {
    const { capabilityArgs, cniArgs } = Result.getOrThrow(runtimeArgumentsOf(attachment({ portMappings: [] })))
    assert.deepStrictEqual(capabilityArgs, {})
    assert.deepStrictEqual(Object.fromEntries(cniArgs), {
      IgnoreUnknown: "1",
      K8S_POD_NAMESPACE: "shop",
      K8S_POD_NAME: "web",
      K8S_POD_INFRA_CONTAINER_ID: "f00dbabe",
      K8S_POD_UID: "0b6a-1"
    })
  })

  it("lets no value smuggle in another pair", () => {
    assert.isTrue(Result.isFailure(runtimeArgumentsOf(attachment({ podName: "a;K8S_POD_NAMESPACE=kube-system" }))))
    assert.isTrue(Result.isFailure(runtimeArgumentsOf(attachment({ podUid: "a=b" }))))
  })

  it("knows ids and interface names that would become other file names", () => {
    assert.isUndefined(identityProblem(attachment()))
    for (const podId of ["", "../x", "-a", "a/b"]) assert.isDefined(identityProblem(attachment({ podId })))
    for (const interfaceName of ["", ".", "..", "a/b", "a b", "a:b", "sixteen-letters-"]) {
      assert.isDefined(identityProblem(attachment({ interfaceName })), interfaceName)
    }
  })
})
