# The Python packages that the command imports, with their names in nixpkgs' python3Packages. They are the dependencies
# in pyproject.toml and those of the named extras, with the same oldest versions and the same conditions on system and
# Python. A test compares the two lists.
{ system, pythonVersion, extras ? [ ] }: packages:
let
  ofExtras = {
    serve = {
      bcrypt = "4.2";
      joserfc = "1.6";
      prometheus-client = "0.22";
    };
    dask = {
      distributed = "2026.1";
    };
  };

  needed = {
    botocore = "1.38";
    brotli = "1.2";
    certifi = "2026.1.1";
    click = "8.5";
    cryptography = "45";
    cyclonedx-python-lib = "11";
    h11 = "0.16";
    lz4 = "4.4";
    packageurl-python = "0.17";
    platformdirs = "4.3";
    rich = "14";
    urllib3 = "2.5";
    uvicorn = "0.40";
    watchdog = "6";
  }
  // (if builtins.compareVersions pythonVersion "3.14" < 0 then { backports-zstd = "1.5"; } else { })
  // (if builtins.match "x86_64-.*" system != null then { isal = "1.8"; } else { })
  // builtins.foldl' (all: extra: all // ofExtras.${extra}) { } extras;

  take = name:
    let
      package = packages.${name} or (throw "lamina: got no ${name} in the Python packages of nixpkgs, ${expected name}");
      version = package.version or needed.${name};
    in
    if builtins.compareVersions version needed.${name} < 0
    then throw "lamina: got ${name} ${version} in the Python packages of nixpkgs, ${expected name}"
    else package;
  expected = name: "expected ${needed.${name}} or newer: use a newer nixpkgs, or an overlay with the newer package";
in
map take (builtins.attrNames needed)
