# The Python packages that the command imports, under their names in nixpkgs' python3Packages: the dependencies of
# pyproject.toml, each for the systems and Pythons that it is for there. A test holds the two lists to each other.
{ system, pythonVersion }: packages:
let
  optional = isNeeded: package: if isNeeded then [ package ] else [ ];
in
[
  packages.botocore
  packages.brotli
  packages.certifi
  packages.click
  packages.cryptography
  packages.lz4
  packages.platformdirs
  packages.rich
  packages.urllib3
]
++ optional (builtins.compareVersions pythonVersion "3.14" < 0) packages.backports-zstd
++ optional (builtins.match "x86_64-.*" system != null) packages.isal
