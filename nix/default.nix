# nixpkgs' dockerTools, made by lamina: `(import ./nix { inherit pkgs; }).dockerTools`. docs/nix.md says how to use it.
#
# Nothing here needs nixpkgs' library. taken.nix lists the attributes of `pkgs` that are used, each only where needed.
{ pkgs ? import <nixpkgs> { } }:
let
  taken = import ./taken.nix pkgs;
  derive = import ./derive.nix taken;
  images = import ./images.nix { inherit taken derive; };
  contents = import ./contents.nix { inherit taken derive; };
  archives = import ./archives.nix { inherit taken derive; inherit (images) compressors; };
  shells = import ./shell.nix { inherit taken derive contents images; };
in
{
  dockerTools = {
    inherit (images) streamLayeredImage buildLayeredImage buildLayeredImageWithNixDb;
    inherit (shells) streamNixShellImage buildNixShellImage;
    inherit (archives) mergeImages exportImage pullImage;
    inherit (contents) binSh usrBinEnv caCertificates fakeNss shadowSetup;
    inherit (import ./missing.nix) buildImage buildImageWithNixDb;
  };
  lamina = import ./lamina.nix { inherit taken derive; };
}
