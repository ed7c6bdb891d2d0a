{
  description = "Layered container images from Nix store paths: nixpkgs' dockerTools, streamed in one pass";

  # Only packages and apps use nixpkgs. The other outputs take the packages of their user, and do not fetch it.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs = { self, nixpkgs }:
    let
      forEachSystem = make:
        builtins.listToAttrs (map (system: { name = system; value = make system; }) (import ./nix/systems.nix));
    in
    {
      packages = forEachSystem (system: rec {
        lamina = self.lib.lamina nixpkgs.legacyPackages.${system};
        default = lamina;
      });

      apps = forEachSystem (system: {
        default = {
          type = "app";
          program = "${self.packages.${system}.lamina}/bin/lamina";
          meta = { inherit (self.packages.${system}.lamina.meta) description; };
        };
      });

      # For nixpkgs, and for the configuration of NixOS: nixpkgs.overlays = [ lamina.overlays.default ].
      overlays.default = import ./nix/overlay.nix;

      # nix flake init -t
      templates.default = {
        path = ./examples/flake;
        description = "A container image made by lamina's dockerTools, and a shell with the command";
      };

      # For use without an overlay: lib.dockerTools pkgs.
      lib = {
        dockerTools = pkgs: (import ./nix { inherit pkgs; }).dockerTools;
        lamina = pkgs: (import ./nix { inherit pkgs; }).lamina;
      };
    };
}
