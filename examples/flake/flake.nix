{
  description = "A container image, made by lamina";

  inputs = {
    nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";
    # Replace this by the place of lamina: a checkout on this machine, or the address of a repository.
    lamina.url = "git+file:///home/me/lamina";
    # lamina takes its packages from the same nixpkgs, so that no second one is fetched.
    lamina.inputs.nixpkgs.follows = "nixpkgs";
  };

  outputs = { self, nixpkgs, lamina }:
    let
      forEachSystem = make: nixpkgs.lib.genAttrs [ "x86_64-linux" "aarch64-linux" ] (system:
        make (import nixpkgs {
          inherit system;
          overlays = [ lamina.overlays.default ];
        }));
    in
    {
      packages = forEachSystem (pkgs: {
        # nix build .#image
        # docker load < result
        image = pkgs.dockerTools.buildLayeredImage {
          name = "hello";
          tag = "latest";
          contents = [ pkgs.hello ];
          config.Cmd = [ "/bin/hello" ];
        };

        # nix run .#stream | docker load
        stream = pkgs.dockerTools.streamLayeredImage {
          name = "hello";
          tag = "latest";
          contents = [ pkgs.hello ];
          config.Cmd = [ "/bin/hello" ];
        };
      });

      # nix develop --command lamina --version
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell { packages = [ pkgs.lamina ]; };
      });
    };
}
