# A Python with lamina and Dask, and the commands of both. nixpkgs is that of NIX_PATH.
{
  pkgs ? import <nixpkgs> { },
}:
pkgs.python3.withPackages (packages: [
  packages.distributed
  (packages.buildPythonPackage {
    pname = "lamina";
    version = "0";
    pyproject = true;
    src = ../..;
    build-system = [ packages.hatchling ];
    dependencies = import ../../nix/packages.nix {
      inherit (pkgs.stdenv.hostPlatform) system;
      inherit (pkgs.python3) pythonVersion;
    } packages;
    doCheck = false;
  })
])
