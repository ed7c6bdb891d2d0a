# What users take of nixpkgs as a flake. Tests put pkgs.nix and programs.nix, the programs of the host, beside it.
{
  outputs = { self }: {
    lib = {
      genAttrs = names: make: builtins.listToAttrs (map (name: { inherit name; value = make name; }) names);

      # As in the modules of NixOS, each module takes the packages that the overlays of all modules change.
      nixosSystem = { system, modules }:
        let
          pkgs = import ./. { inherit system; overlays = builtins.concatMap (each: each.nixpkgs.overlays) configs; };
          configs = map (module: module { inherit pkgs; }) modules;
        in
        {
          inherit pkgs;
          config.environment.systemPackages = builtins.concatMap (each: each.environment.systemPackages) configs;
        };
    };
    legacyPackages = self.lib.genAttrs [ "x86_64-linux" "aarch64-linux" "x86_64-darwin" "aarch64-darwin" ]
      (system: import ./. { inherit system; });
  };
}
