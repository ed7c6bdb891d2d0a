{ host ? import ./host.nix { }, salt ? "" }:
let
  pkgs = import ./pkgs.nix { inherit host salt; } // made;
  made = import ../../nix { inherit pkgs; };
in
{
  inherit pkgs;
  inherit (made) dockerTools lamina;
  laminaWithoutExtras = made.lamina.override { extras = [ ]; };
  images = import ./images.nix { inherit pkgs; inherit (made) dockerTools; };
  built = import ./build-layered-image.nix { inherit (pkgs) dockerTools hello; };
  streamed = import ./stream-layered-image.nix { inherit (pkgs) dockerTools hello; };
}
