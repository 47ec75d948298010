# What the tests of flake.nix ask: its outputs over the stub, and its module over the smallest module system that
# carries it.
let
  stub = import ./nixpkgs/flake.nix;
  nixpkgs = stub.outputs { self = nixpkgs; };
  flake = import ../../flake.nix;
  outputs = flake.outputs { inherit nixpkgs; self = outputs // { outPath = ../..; }; };
  system = "x86_64-linux";
  pkgs = nixpkgs.legacyPackages.${system};
  inherit (nixpkgs) lib;

  merge = left: right:
    if builtins.isAttrs left && builtins.isAttrs right && !(left ? _type) && !(right ? _type)
    then left // builtins.mapAttrs (name: value: if left ? ${name} then merge left.${name} value else value) right
    else right;

  # mkIf and mkDefault taken away; derivations stay as they are.
  plain = value:
    if builtins.isList value then map plain value
    else if !builtins.isAttrs value || (value.type or null) == "derivation" then value
    else if (value._type or null) == "if" then (if value.condition then plain value.content else { })
    else if (value._type or null) == "default" then plain value.content
    else builtins.mapAttrs (name: plain) value;

  evaluate = chosen:
    let
      module = outputs.nixosModules.default { inherit config lib pkgs; };
      declared = module.options.virtualisation.cricket;
      defaults = builtins.mapAttrs (name: option: option.default) declared;
      made = plain module.config;
      settings = merge (made.virtualisation.cricket.settings or { }) (chosen.settings or { });
      config = {
        virtualisation.cricket = defaults // chosen // { inherit settings; };
        inherit (made) environment;
      };
    in
    { inherit made settings; };

  enabled = evaluate { enable = true; settings.crio.runtime.log_level = "debug"; };
  service = enabled.made.systemd.services.cricket;
in
{
  package = {
    inherit (outputs.packages.${system}.default.arguments) pname version npmDepsHash installPhase;
  };
  systems = builtins.attrNames outputs.packages;
  shell = map (one: one.name) outputs.devShells.${system}.default.arguments.packages;
  disabled = (evaluate { }).made;
  enabled = {
    inherit (enabled) settings;
    service = builtins.deepSeq (builtins.removeAttrs enabled.made [ "virtualisation" ]) {
      inherit (service) before serviceConfig;
      triggers = builtins.length service.restartTriggers;
    };
  };
}
