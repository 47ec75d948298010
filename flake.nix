{
  description = "Cricket, a Kubernetes container runtime on Effect";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      systems = [ "x86_64-linux" "aarch64-linux" ];
      forEachSystem = make: lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});

      # Programs that the daemon starts.
      runtimePrograms = pkgs: [ pkgs.conmon pkgs.crun pkgs.runc pkgs.iptables ];

      cricket = pkgs: pkgs.buildNpmPackage {
        pname = "cricket";
        version = (lib.importJSON ./package.json).version;
        src = self;
        # Nix prints the right one at the first build after a change of package-lock.json.
        npmDepsHash = lib.fakeHash;
        nodejs = pkgs.nodejs_24;
        nativeBuildInputs = [ pkgs.makeWrapper ];
        npmFlags = [ "--ignore-scripts" ];
        installPhase = ''
          runHook preInstall
          npm prune --omit=dev
          mkdir -p $out/lib/cricket $out/bin
          cp -r dist node_modules package.json $out/lib/cricket/
          makeWrapper ${pkgs.nodejs_24}/bin/node $out/bin/cricket \
            --add-flags "--max-semi-space-size=2 $out/lib/cricket/dist/cricket.js" \
            --set MALLOC_ARENA_MAX 1 \
            --prefix PATH : ${lib.makeBinPath (runtimePrograms pkgs)}
          runHook postInstall
        '';
        meta = {
          description = "A Kubernetes container runtime on Effect";
          license = lib.licenses.asl20;
          platforms = systems;
          mainProgram = "cricket";
        };
      };

      module = { config, lib, pkgs, ... }:
        let
          options = config.virtualisation.cricket;
          toml = pkgs.formats.toml { };
        in
        {
          options.virtualisation.cricket = {
            enable = lib.mkEnableOption "Cricket, a Kubernetes container runtime";

            package = lib.mkOption {
              type = lib.types.package;
              default = cricket pkgs;
              description = "The package with bin/cricket.";
            };

            settings = lib.mkOption {
              type = toml.type;
              default = { };
              example = { crio.runtime.log_level = "debug"; };
              description = "Content of crio.conf, with CRI-O's keys.";
            };

            cniPlugins = lib.mkOption {
              type = lib.types.listOf lib.types.package;
              default = [ pkgs.cni-plugins ];
              description = "Packages with CNI plugins in bin.";
            };
          };

          config = lib.mkIf options.enable {
            virtualisation.cricket.settings.crio = {
              api.listen = lib.mkDefault "/run/crio/crio.sock";
              network.plugin_dirs = lib.mkDefault (map (plugin: "${plugin}/bin") options.cniPlugins);
              runtime = {
                default_runtime = lib.mkDefault "crun";
                cgroup_manager = lib.mkDefault "systemd";
                conmon = lib.mkDefault "${pkgs.conmon}/bin/conmon";
                runtimes.crun.runtime_path = lib.mkDefault "${pkgs.crun}/bin/crun";
                runtimes.runc.runtime_path = lib.mkDefault "${pkgs.runc}/bin/runc";
              };
            };

            environment.etc."crio/crio.conf".source = toml.generate "crio.conf" options.settings;
            environment.systemPackages = [ options.package pkgs.cri-tools ];

            boot.kernelModules = [ "overlay" "br_netfilter" ];
            boot.kernel.sysctl."net.ipv4.ip_forward" = lib.mkDefault 1;

            systemd.services.cricket = {
              description = "Cricket, a Kubernetes container runtime";
              wantedBy = [ "multi-user.target" ];
              wants = [ "network-online.target" ];
              after = [ "network-online.target" ];
              before = [ "kubelet.service" ];
              path = runtimePrograms pkgs;
              restartTriggers = [ config.environment.etc."crio/crio.conf".source ];
              serviceConfig = {
                Type = "simple";
                ExecStart = "${options.package}/bin/cricket";
                # Containers and their monitors live on while the daemon is replaced.
                KillMode = "process";
                Delegate = "yes";
                TasksMax = "infinity";
                LimitNOFILE = 1048576;
                LimitNPROC = 1048576;
                LimitCORE = "infinity";
                OOMScoreAdjust = -999;
                TimeoutStartSec = 0;
                Restart = "on-failure";
                RestartSec = 10;
              };
            };
          };
        };
    in
    {
      packages = forEachSystem (pkgs: { default = cricket pkgs; });

      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          packages = runtimePrograms pkgs ++ [
            pkgs.nodejs_24
            pkgs.cni-plugins
            pkgs.cri-tools
            pkgs.go
            pkgs.skopeo
            pkgs.podman
            pkgs.busybox
          ];
        };
      });

      checks = forEachSystem (pkgs: { package = self.packages.${pkgs.system}.default; });

      formatter = forEachSystem (pkgs: pkgs.nixpkgs-fmt);

      nixosModules.default = module;
    };
}
