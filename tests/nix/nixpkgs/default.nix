# What users take of nixpkgs as a function: a package set with overlays.
{ system ? builtins.currentSystem, overlays ? [ ] }:
let
  pkgs = import ./pkgs.nix { inherit system; host = import ./programs.nix; };
  base = pkgs // {
    # As with nixpkgs, an overlay changes functions that are there already, and keeps those that lamina lacks.
    dockerTools = {
      streamLayeredImage = throw "this function is not lamina's";
      buildImage = _: "nixpkgs";
    };
    # `nix develop` needs the attribute outputs, which nixpkgs sets for every derivation.
    mkShell = { packages }: derivation {
      name = "shell";
      inherit system;
      outputs = [ "out" ];
      builder = "/bin/bash";
      args = [ "-c" "mkdir $out; exit" ];
      PATH = builtins.concatStringsSep ":" (map (each: "${each}/bin") packages ++ [ "/usr/bin" "/bin" ]);
    };
  };
  final = builtins.foldl' (prev: overlay: prev // overlay final prev) base overlays;
in
final
