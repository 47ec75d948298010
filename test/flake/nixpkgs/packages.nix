{ lib, system }:
let
  package = name: derivation {
    inherit name system;
    builder = "/bin/sh";
    args = [ "-c" "exit 1" ];
  };
  made = name: arguments: builtins.deepSeq arguments (package name // { inherit arguments; });
in
{
  inherit system lib;
  buildNpmPackage = arguments: made arguments.pname (builtins.removeAttrs arguments [ "src" ]);
  mkShell = arguments: made "shell" arguments;
  formats.toml = { }: {
    type = { name = "toml"; };
    generate = name: value: made name value;
  };
} // lib.genAttrs [
  "busybox"
  "cni-plugins"
  "conmon"
  "cri-tools"
  "crun"
  "go"
  "iptables"
  "makeWrapper"
  "nixpkgs-fmt"
  "nodejs_24"
  "podman"
  "runc"
  "skopeo"
] package
