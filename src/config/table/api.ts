/** [crio.api]: the sockets that kubelet and its clients use. */
import { list } from "../kind/composite.ts"
import { boolean, integer, oneOf, optionalPath, path, text } from "../kind/scalar.ts"
import { optionalDuration, portText } from "../kind/units.ts"
import { ipAddress } from "../kind/formats.ts"
import { option, section } from "./option.ts"

export const api = section("The sockets of kubelet and its clients.", {
  listen: option(path, {
    default: "/var/run/crio/crio.sock",
    doc: "Unix socket on which kubelet and crictl reach the daemon: CRI over gRPC and a small HTTP interface on the same socket.",
    flags: ["listen"],
    env: "CONTAINER_LISTEN",
    built: true
  }),
  stream_address: option(ipAddress, {
    default: "127.0.0.1",
    doc: "Address to which the server for exec, attach and port-forward binds.",
    flags: ["stream-address"],
    env: "CONTAINER_STREAM_ADDRESS",
    built: true
  }),
  stream_port: option(portText, {
    default: 0,
    doc: "Port of the server for exec, attach and port-forward. 0 takes a free one.",
    flags: ["stream-port"],
    env: "CONTAINER_STREAM_PORT",
    built: true
  }),
  stream_enable_tls: option(boolean, {
    default: false,
    doc: "Serve exec, attach and port-forward over TLS.",
    flags: ["stream-enable-tls"],
    env: "CONTAINER_ENABLE_TLS",
    built: true
  }),
  stream_tls_cert: option(optionalPath, {
    default: "",
    doc: "Certificate chain (PEM) of the streaming server.",
    flags: ["stream-tls-cert"],
    env: "CONTAINER_TLS_CERT",
    reload: "watched",
    built: true
  }),
  stream_tls_key: option(optionalPath, {
    default: "",
    doc: "Private key (PEM) of the streaming server.",
    flags: ["stream-tls-key"],
    env: "CONTAINER_TLS_KEY",
    reload: "watched",
    built: true
  }),
  stream_tls_ca: option(optionalPath, {
    default: "",
    doc: "CA certificates (PEM). When set, streaming clients have to present a certificate signed by one of them.",
    flags: ["stream-tls-ca"],
    env: "CONTAINER_TLS_CA",
    reload: "watched",
    built: true
  }),
  stream_idle_timeout: option(optionalDuration, {
    default: undefined,
    doc: "How long a streaming connection may be idle before it is closed. Empty means four hours.",
    flags: ["stream-idle-timeout"],
    env: "STREAM_IDLE_TIMEOUT",
    built: true
  }),
  tls_min_version: option(oneOf("VersionTLS12", "VersionTLS13"), {
    default: "VersionTLS12",
    doc: "Lowest TLS version that the streaming and metrics servers accept.",
    flags: ["tls-min-version"],
    env: "CONTAINER_TLS_MIN_VERSION",
    built: true
  }),
  tls_cipher_suites: option(list(text, "strings"), {
    default: [],
    doc: "TLS 1.2 cipher suites that the servers offer. Empty leaves the choice to the library.",
    flags: ["tls-cipher-suites"],
    env: "CONTAINER_TLS_CIPHER_SUITES",
    built: true
  }),
  grpc_max_send_msg_size: option(integer({ min: 1, max: 2147483647, unit: "bytes" }), {
    default: 80 * 1024 * 1024,
    doc: "Largest gRPC message that the daemon sends.",
    flags: ["grpc-max-send-msg-size"],
    env: "CONTAINER_GRPC_MAX_SEND_MSG_SIZE",
    built: true
  }),
  grpc_max_recv_msg_size: option(integer({ min: 1, max: 2147483647, unit: "bytes" }), {
    default: 80 * 1024 * 1024,
    doc: "Largest gRPC message that the daemon takes.",
    flags: ["grpc-max-recv-msg-size"],
    env: "CONTAINER_GRPC_MAX_RECV_MSG_SIZE",
    built: true
  })
})
