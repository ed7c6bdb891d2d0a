# An overlay for nixpkgs: the command `lamina`, and nixpkgs' dockerTools with the functions that lamina has. Functions
# that lamina lacks stay those of nixpkgs, because other packages of the set may use them.
final: prev:
let
  made = import ./. { pkgs = final; };
  missing = import ./missing.nix;
in
{
  inherit (made) lamina;
  dockerTools = missing // prev.dockerTools or { } // builtins.removeAttrs made.dockerTools (builtins.attrNames missing);
}
