# The Python packages that the command imports, with their names in nixpkgs' python3Packages. They are the dependencies
# in pyproject.toml, with the same conditions on system and Python. A test compares the two lists.
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
  packages.cyclonedx-python-lib
  packages.h11
  packages.lz4
  packages.packageurl-python
  packages.platformdirs
  packages.rich
  packages.urllib3
  packages.uvicorn
  packages.watchdog
]
++ optional (builtins.compareVersions pythonVersion "3.14" < 0) packages.backports-zstd
++ optional (builtins.match "x86_64-.*" system != null) packages.isal
