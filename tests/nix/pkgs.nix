# What lamina's nix/ takes of nixpkgs (nix/taken.nix), from raw derivations and the host's programs.
#
# `host` are the programs of host.nix, which a Nix in another root file system is given as finished store paths; `salt`
# makes every store path another, so that another Nix builds it all itself.
{ host ? import ./host.nix { }, salt ? "", system ? builtins.currentSystem }:
let
  build = name: attrs: script: derivation (attrs // {
    inherit name system salt;
    builder = "/bin/bash";
    PATH = "/usr/bin:/bin";
    args = [ "-e" "-u" "-c" "umask 022\n${script}\nexit" ];
  });
in
rec {
  inherit build;
  inherit (host) busybox;

  # These run on this machine alone.
  buildPackages = {
    python3 = {
      outPath = host.python3;
      inherit (host) pythonVersion;
      # A virtual environment over the Python of host.nix: it sees the packages that were selected and no others.
      withPackages = select: build "python3-with-packages"
        {
          inherit (host) python3 pythonVersion;
          packages = select (builtins.mapAttrs
            (name: version: { inherit version; outPath = "${host.packages}/${name}"; })
            host.versions);
        } ''
        mkdir -p $out/bin $out/lib/python$pythonVersion/site-packages
        for package in $packages; do
          ln -sf $package/* $out/lib/python$pythonVersion/site-packages
        done
        echo "home = $python3/bin" > $out/pyvenv.cfg
        sed "s,--argv0 $python3/bin/,--argv0 $out/bin/," $python3/bin/python3 > $out/bin/python3
        chmod 755 $out/bin/python3
      '';
    };
    stdenv.hostPlatform = { inherit system; };
    bash = "/usr";
    coreutils = "/usr";
    fakeroot = "/usr";
    proot = "/usr";
    skopeo = "/usr";
    zstd = "/usr";
  };

  # These run in containers.
  stdenv.hostPlatform = { inherit system; };
  inherit (host) bash;
  bashInteractive = host.bash;
  coreutils = host.busybox;
  shadow = host.busybox;
  cacert = build "cacert" { } ''
    mkdir -p $out/etc/ssl/certs
    echo certificates > $out/etc/ssl/certs/ca-bundle.crt
  '';

  greeting = build "greeting-1.0" { } ''
    mkdir -p $out/share
    echo 'Hello, world!' > $out/share/greeting
  '';
  hello = build "hello-2.12.1" { inherit greeting; inherit (host) busybox; } ''
    mkdir -p $out/bin
    printf '#!%s\nexec %s %s\n' $busybox/bin/sh $busybox/bin/cat $greeting/share/greeting > $out/bin/hello
    chmod 755 $out/bin/hello
  '';
}
