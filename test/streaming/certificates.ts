/** A certificate authority for tests of TLS. */
import { execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"

export interface Certificate {
  readonly certificate: string
  readonly key: string
}

export interface Authority {
  /** PEM. */
  readonly certificate: string
  /** Signed by it, for 127.0.0.1, which crictl calls localhost. */
  readonly issue: (name: string) => Certificate
}

/** Works in the directory; elliptic curves, since RSA keys take their time. */
export const makeAuthority = (directory: string, authority: string): Authority => {
  const openssl = (...parameters: ReadonlyArray<string>) =>
    execFileSync("openssl", parameters, { cwd: directory, stdio: "ignore" })
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  const read = (name: string) => readFileSync(`${directory}/${name}`, "utf8")
  const subject = ["-subj", `/CN=${authority}`]
  openssl("req", "-x509", ...curve, ...subject, "-days", "2", "-keyout", `${authority}.key`, "-out", `${authority}.crt`)
  writeFileSync(`${directory}/san`, "subjectAltName=IP:127.0.0.1,DNS:localhost")
  return {
    certificate: read(`${authority}.crt`),
    issue: (name) => {
      openssl("req", ...curve, "-subj", `/CN=${name}`, "-keyout", `${name}.key`, "-out", `${name}.csr`)
      const signing = ["-CA", `${authority}.crt`, "-CAkey", `${authority}.key`, "-CAcreateserial", "-days", "2"]
      openssl("x509", "-req", "-in", `${name}.csr`, ...signing, "-extfile", "san", "-out", `${name}.crt`)
      return { certificate: read(`${name}.crt`), key: read(`${name}.key`) }
    }
  }
}
