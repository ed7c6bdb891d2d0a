{
  description = "Layered container images from Nix store paths: nixpkgs' dockerTools, streamed in one pass";

  # There are no inputs: users bring nixpkgs, or a set like it. docs/nix.md lists the attributes that are needed.
  outputs = { self }: {
    overlays.default = final: prev:
      let
        made = import ./nix { pkgs = final; };
      in
      {
        inherit (made) lamina;
        dockerTools = prev.dockerTools or { } // made.dockerTools;
      };

    # For use without an overlay: lib.dockerTools pkgs.
    lib = {
      dockerTools = pkgs: (import ./nix { inherit pkgs; }).dockerTools;
      lamina = pkgs: (import ./nix { inherit pkgs; }).lamina;
    };
  };
}
