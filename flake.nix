{
  description = "Layered container images from Nix store paths: nixpkgs' dockerTools, streamed in one pass";

  # No inputs: whoever uses this has nixpkgs already, or something like it. docs/nix.md says what of it is needed.
  outputs = { self }: {
    overlays.default = final: prev:
      let
        made = import ./nix { pkgs = final; };
      in
      {
        inherit (made) lamina;
        dockerTools = prev.dockerTools or { } // made.dockerTools;
      };

    # lib.dockerTools pkgs, without an overlay.
    lib = {
      dockerTools = pkgs: (import ./nix { inherit pkgs; }).dockerTools;
      lamina = pkgs: (import ./nix { inherit pkgs; }).lamina;
    };
  };
}
