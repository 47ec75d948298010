/** Traffic limits from the pod's annotations, as Kubernetes' network plugins guide defines them. */
import { Result } from "effect"

/** The capability "bandwidth" (CNI conventions); bits per second and bits, 0 for no limit. */
export interface Bandwidth {
  readonly ingressRate: number
  readonly ingressBurst: number
  readonly egressRate: number
  readonly egressBurst: number
}

const scales: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40
}

// Kubernetes refuses limits outside of 1k to 1P: below, the pod cannot even resolve a name.
const minRate = 1e3
const maxRate = 1e15
// The largest burst that the bandwidth plugin accepts (4 GiB, in bits): only the rate limits then.
const unlimitedBurst = 0xffff_ffff * 8 - 1

const parseRate = (annotation: string, text: string): Result.Result<number, string> => {
  const match = /^(\d+(?:\.\d*)?)(Ki|Mi|Gi|Ti|[kMGTP]|[eE]\d{1,2})?$/.exec(text)
  if (match === null) {
    return Result.fail(`annotation ${annotation}: ${JSON.stringify(text)} is not a quantity such as "10M"`)
  }
  const [, number = "", suffix = ""] = match
  const scale = scales[suffix] ?? 10 ** Number(suffix.slice(1))
  const rate = Math.ceil(Number(number) * scale)
  return rate < minRate || rate > maxRate
    ? Result.fail(`annotation ${annotation}: ${text} is outside of 1k to 1P bits per second`)
    : Result.succeed(rate)
}

/** Undefined when neither annotation is there. */
export const bandwidthOf = (
  annotations: Readonly<Record<string, string>>
): Result.Result<Bandwidth | undefined, string> =>
  Result.gen(function* () {
    const rateOf = (annotation: string): Result.Result<number, string> => {
      const text = annotations[annotation]
      return text === undefined ? Result.succeed(0) : parseRate(annotation, text)
    }
    const ingressRate = yield* rateOf("kubernetes.io/ingress-bandwidth")
    const egressRate = yield* rateOf("kubernetes.io/egress-bandwidth")
    if (ingressRate === 0 && egressRate === 0) return undefined
    return {
      ingressRate,
      ingressBurst: ingressRate === 0 ? 0 : unlimitedBurst,
      egressRate,
      egressBurst: egressRate === 0 ? 0 : unlimitedBurst
    }
  })
