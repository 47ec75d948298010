rec {
  genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);
  importJSON = path: builtins.fromJSON (builtins.readFile path);
  fakeHash = "sha256-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
  makeBinPath = packages: builtins.concatStringsSep ":" (map (one: "${one}/bin") packages);
  licenses.asl20 = { spdxId = "Apache-2.0"; };

  mkOption = option: builtins.deepSeq (option.type or null) (option // { _type = "option"; });
  mkEnableOption = description: mkOption { type = types.bool; default = false; inherit description; };
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkDefault = content: { _type = "default"; inherit content; };

  types = {
    bool = { name = "bool"; };
    package = { name = "package"; };
    listOf = type: builtins.deepSeq type { name = "listOf"; };
  };
}
