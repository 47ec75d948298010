# As much of nixpkgs as flake.nix names, for evaluation without network. Arguments are forced, so that an attribute that
# does not exist is an error here as it would be there.
{
  description = "A stub of nixpkgs";

  outputs = { self }:
    let
      lib = import ./lib.nix;
    in
    {
      inherit lib;
      legacyPackages = lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system: import ./packages.nix { inherit lib system; });
    };
}
