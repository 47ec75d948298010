/** How connections to one registry are secured: set by the registry client around each request, read by the transport. */
import { Context } from "effect"

export interface TransportPolicyShape {
  /** Certificates are not verified. */
  readonly insecure: boolean
  /** PEM certificates trusted besides the system's. */
  readonly ca: ReadonlyArray<string>
  /** PEM certificates and keys shown to the server. */
  readonly clientCertificates: ReadonlyArray<{ readonly certificate: string; readonly key: string }>
}

export const defaultTransportPolicy: TransportPolicyShape = { insecure: false, ca: [], clientCertificates: [] }

export const TransportPolicy = Context.Reference<TransportPolicyShape>("cricket/image/TransportPolicy", {
  defaultValue: () => defaultTransportPolicy
})
