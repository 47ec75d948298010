/** What a network gave a pod: the results of every CNI version in one shape, that of 1.x. */
import { NetAddress } from "effect/net"
import { Result, Schema } from "effect"

export const CniInterface = Schema.Struct({
  name: Schema.String,
  /** "" where link addresses mean nothing. */
  mac: Schema.String,
  /** Path of the network namespace that holds it; "" for an interface of the host. */
  sandbox: Schema.String
})

export const CniIp = Schema.Struct({
  /** Address with prefix length ("10.214.3.7/24", "fd00::7/64"). */
  address: Schema.String,
  /** "" for none. */
  gateway: Schema.String,
  /** Index into `interfaces`. */
  interface: Schema.optionalKey(Schema.Int)
})

export const CniRoute = Schema.Struct({
  /** Destination in CIDR notation. */
  dst: Schema.String,
  /** "" for the gateway of the address. */
  gw: Schema.String
})

export const CniResult = Schema.Struct({
  /** The version in which the plugins answered. */
  cniVersion: Schema.String,
  interfaces: Schema.Array(CniInterface),
  ips: Schema.Array(CniIp),
  routes: Schema.Array(CniRoute),
  dns: Schema.Struct({
    nameservers: Schema.Array(Schema.String),
    domain: Schema.String,
    search: Schema.Array(Schema.String),
    options: Schema.Array(Schema.String)
  })
})
export type CniResult = typeof CniResult.Type

/** The pod's addresses without prefix length, primary first; addresses that sit on a host interface are left out. */
export const podIps = (result: CniResult): ReadonlyArray<string> =>
  result.ips
    .filter((ip) => ip.interface === undefined || result.interfaces[ip.interface]?.sandbox !== "")
    .map((ip) => withoutPrefix(ip.address))

const withoutPrefix = (cidr: string): string => cidr.slice(0, cidr.indexOf("/"))

// Go writes null for an empty slice and leaves empty strings out.
const Text = Schema.optionalKey(Schema.NullOr(Schema.String))
const list = <S extends Schema.Constraint>(item: S) => Schema.optionalKey(Schema.NullOr(Schema.Array(item)))
const WireRoute = Schema.Struct({ dst: Schema.String, gw: Text })
const WireDns = Schema.optionalKey(
  Schema.NullOr(
    Schema.Struct({
      nameservers: list(Schema.String),
      domain: Text,
      search: list(Schema.String),
      options: list(Schema.String)
    })
  )
)

/** 0.3.0 to 1.1.0: addresses with (before 1.0.0) their family beside them, which the address itself tells. */
const WireResult = Schema.Struct({
  interfaces: list(Schema.Struct({ name: Schema.String, mac: Text, sandbox: Text })),
  ips: list(
    Schema.Struct({ address: Schema.String, gateway: Text, interface: Schema.optionalKey(Schema.NullOr(Schema.Int)) })
  ),
  routes: list(WireRoute),
  dns: WireDns
})

/** 0.1.0 and 0.2.0: at most one address per family and no interfaces. */
const WireFamily = Schema.optionalKey(
  Schema.NullOr(Schema.Struct({ ip: Schema.String, gateway: Text, routes: list(WireRoute) }))
)
const WireLegacyResult = Schema.Struct({ ip4: WireFamily, ip6: WireFamily, dns: WireDns })

const decodeResult = Schema.decodeUnknownResult(WireResult)
const decodeLegacyResult = Schema.decodeUnknownResult(WireLegacyResult)

/** Brings the object that the last plugin printed into the one shape. The failure says what is wrong with it. */
export const normaliseResult = (
  raw: Readonly<Record<string, unknown>>,
  cniVersion: string
): Result.Result<CniResult, string> =>
  Result.gen(function* () {
    const wire =
      cniVersion < "0.3" ? yield* fromLegacy(raw) : yield* Result.mapError(decodeResult(raw), (e) => e.message)
    const interfaces = (wire.interfaces ?? []).map(({ name, mac, sandbox }) => ({
      name,
      mac: mac ?? "",
      sandbox: sandbox ?? ""
    }))
    for (const ip of wire.ips ?? []) {
      if (!isCidr(ip.address))
        return yield* Result.fail(`${JSON.stringify(ip.address)} is not an address with prefix length`)
      if (typeof ip.interface === "number" && interfaces[ip.interface] === undefined) {
        return yield* Result.fail(
          `address ${ip.address} is on interface ${ip.interface}, and there are ${interfaces.length}`
        )
      }
    }
    return {
      cniVersion,
      interfaces,
      ips: (wire.ips ?? []).map((ip) => ({
        address: ip.address,
        gateway: ip.gateway ?? "",
        ...(typeof ip.interface === "number" ? { interface: ip.interface } : {})
      })),
      routes: (wire.routes ?? []).map(({ dst, gw }) => ({ dst, gw: gw ?? "" })),
      dns: {
        nameservers: wire.dns?.nameservers ?? [],
        domain: wire.dns?.domain ?? "",
        search: wire.dns?.search ?? [],
        options: wire.dns?.options ?? []
      }
    }
  })

const fromLegacy = (raw: unknown): Result.Result<typeof WireResult.Type, string> =>
  Result.map(
    Result.mapError(decodeLegacyResult(raw), (error) => error.message),
    ({ ip4, ip6, dns }) => {
      const families = [ip4, ip6].filter((family) => family !== undefined && family !== null)
      return {
        ips: families.map((family) => ({ address: family.ip, gateway: family.gateway ?? "" })),
        routes: families.flatMap((family) => family.routes ?? []),
        ...(dns === undefined ? {} : { dns })
      }
    }
  )

const isCidr = (text: string): boolean => {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text)
  if (match === null) return false
  const [, address = "", prefix = ""] = match
  if (Result.isSuccess(NetAddress.ipv4FromString(address))) return Number(prefix) <= 32
  return Result.isSuccess(NetAddress.ipv6FromString(address)) && Number(prefix) <= 128
}
