# The attributes of `pkgs` that are used. Each is evaluated only where it is needed, so a set without `proot` works for
# images that do not need it.
#
#   always                 bash  coreutils  python3 (3.11 or newer, its standard library alone)
#   if it exists           buildPackages (programs that run while an image is made; else pkgs itself)
#                          stdenv.hostPlatform.system (else builtins.currentSystem)
#                          stdenv.hostPlatform.go.GOARCH, go.GOARCH (else from the system), stdenv.hostPlatform.isDarwin
#                          stdenv.initialPath (the programs that scripts find; else coreutils and bash)
#   for some images        fakeroot (fakeRootCommands, nix-shell images)  proot (enableFakechroot)
#                          zstd (compressor, fromImage, mergeImages, exportImage)  skopeo, cacert (pullImage)
#                          bashInteractive (binSh, nix-shell images)  coreutils (usrBinEnv)  cacert (caCertificates,
#                          nix-shell images)  shadow, bash (shadowSetup)
#                          python3.withPackages, python3.pythonVersion (the command itself, with packages.nix)
pkgs:
let
  building = pkgs.buildPackages or pkgs;
  platform = packages: packages.stdenv.hostPlatform or { system = builtins.currentSystem; };
  host = platform pkgs;
  cpu = builtins.head (builtins.match "([^-]*)-.*" host.system);
  architectures = {
    aarch64 = "arm64";
    armv5tel = "arm";
    armv6l = "arm";
    armv7l = "arm";
    i686 = "386";
    loongarch64 = "loong64";
    mips64el = "mips64le";
    powerpc64 = "ppc64";
    powerpc64le = "ppc64le";
    x86_64 = "amd64";
  };
in
{
  # Programs that run while an image is made or streamed. For a cross image, other programs run in the container.
  inherit (building) python3 bash coreutils fakeroot proot zstd skopeo;
  inherit (platform building) system;
  searchPath = building.stdenv.initialPath or [ building.coreutils ] ++ [ building.bash ];

  # Packages that are put into an image.
  inside = {
    inherit (pkgs) bash bashInteractive coreutils cacert shadow;
  };
  architecture = host.go.GOARCH or pkgs.go.GOARCH or architectures.${cpu} or cpu;
  isDarwin = host.isDarwin or (builtins.match ".*-darwin" host.system != null);
}
