# An overlay for nixpkgs: the command `lamina`, and nixpkgs' dockerTools with the functions that lamina has.
final: prev:
let
  made = import ./. { pkgs = final; };
in
{
  inherit (made) lamina;
  dockerTools = prev.dockerTools or { } // made.dockerTools;
}
