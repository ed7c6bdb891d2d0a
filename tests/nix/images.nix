# Images for tests/integration/test_nix_expressions.py.
{ dockerTools, pkgs }:
let
  inherit (pkgs) hello busybox;
  inherit (dockerTools) streamLayeredImage buildLayeredImage;
  shell = text: [ "${busybox}/bin/sh" "-c" text ];
  # Something that only the output of a script mentions.
  other = pkgs.build "other-1.0" { } "mkdir -p $out; echo other > $out/file";
in
rec {
  inherit other;

  untagged = buildLayeredImage {
    name = "Untagged";
    contents = hello;
    config.Cmd = [ "/bin/hello" ];
  };
  untaggedStream = untagged.stream;

  plain = buildLayeredImage {
    name = "plain";
    tag = "1";
    contents = [ hello ];
    config.Cmd = [ "/bin/hello" ];
    compressor = "none";
  };
  zstd = plain.override { compressor = "zstd"; };
  renamed = (plain.override { compressor = "none"; }).stream.override (old: { name = old.name + "d"; });

  scripted = streamLayeredImage {
    name = "registry.example/scripted";
    tag = "1";
    contents = [ ./folder "${hello}" ];
    extraCommands = ''
      echo "(made by a script's commands)" > made
      ln -s ${other}/file link
    '';
    fakeRootCommands = ''
      mkdir -p home/alice
      chown 1000:100 home/alice
    '';
    config.Cmd = shell "cat /made /link /hello.txt; stat -c '%u:%g' /home/alice; /bin/hello";
  };

  rooted = streamLayeredImage {
    name = "rooted";
    tag = "1";
    enableFakechroot = true;
    fakeRootCommands = ''
      mkdir -p /bin
      ln -s ${hello}/bin/hello /bin/hello
      chown 12345:12345 /bin
    '';
    config.Cmd = shell "stat -c '%u:%g' /bin; /bin/hello";
  };

  bare = streamLayeredImage {
    name = "bare";
    tag = "1";
    contents = [ hello ];
    includeStorePaths = false;
    config.Cmd = [ "/bin/hello" ];
  };

  two = streamLayeredImage {
    name = "two";
    tag = "1";
    contents = [ hello ];
    maxLayers = 2;
    config.Cmd = [ "/bin/hello" ];
  };
  owned = streamLayeredImage {
    name = "owned";
    tag = "1";
    contents = [ hello ];
    uid = 1000;
    gid = 100;
    uname = "user";
    gname = "users";
    architecture = "arm64";
    created = "2024-02-03T04:05:06+01:00";
    mtime = "@86400";
  };
  now = streamLayeredImage { name = "now"; tag = "1"; contents = [ hello ]; created = "now"; };

  database = streamLayeredImage {
    name = "database";
    tag = "1";
    contents = [ hello ];
    includeNixDB = true;
    config.Cmd = [ "${other}/file" ];
    extraCommands = "ln -s ${pkgs.cacert} cacert";
  };

  # A base of two layers under one of store paths and one of its own.
  base = buildLayeredImage {
    name = "base";
    tag = "1";
    contents = [ hello ];
    maxLayers = 2;
    config.Env = [ "FROM=base" "LAST=base" ];
    extraCommands = "echo base > below";
  };
  based = streamLayeredImage {
    name = "based";
    tag = "1";
    fromImage = base;
    contents = [ ./folder hello ];
    maxLayers = 4;
    config.Env = [ "LAST=child" ];
    config.Cmd = shell "echo $FROM $LAST; cat /below /hello.txt; /bin/hello";
  };
  onZstd = streamLayeredImage { name = "on-zstd"; tag = "1"; fromImage = zstd; };

  pipelined = streamLayeredImage {
    name = "pipelined";
    tag = "1";
    contents = [ hello ];
    maxLayers = 1;
    layeringPipeline = [
      [ "subcomponent_out" [ busybox ] ]
      [ "over" "rest" [ "pipe" [ [ "popularity_contest" ] [ "reverse" ] ] ] ]
      [ "flatten" ]
    ];
    config.Cmd = [ "/bin/hello" ];
  };
  pipelinedByFile = pipelined.override (old: {
    layeringPipeline =
      builtins.toFile "pipeline.json" (builtins.toJSON [ [ "popularity_contest" ] [ "limit_layers" 2 ] ]);
  });
  popular = pipelined.override { layeringPipeline = "popularity"; maxLayers = 3; };

  merged = dockerTools.mergeImages [ zstd untagged ];
  mergedTwice = dockerTools.mergeImages [ zstd zstd ];
  mergedPacked = dockerTools.mergeImages [ base zstd ];
  exported = dockerTools.exportImage { fromImage = base; name = "root.tar.gz"; };
  exportedByName = dockerTools.exportImage {
    fromImage = mergedPacked;
    fromImageName = "base";
    fromImageTag = "1";
    name = "root.tar";
  };

  # For another processor: made here, run there.
  cross = (import ../../nix {
    pkgs = pkgs // { stdenv.hostPlatform = { system = "aarch64-linux"; }; };
  }).dockerTools.streamLayeredImage { name = "cross"; tag = "1"; contents = [ hello ]; };

  # A set that is its own buildPackages, has nothing but what is always needed, and a compiler's idea of the processor.
  least = (import ../../nix {
    pkgs = { inherit (pkgs.buildPackages) bash coreutils python3; go.GOARCH = "riscv64"; };
  }).dockerTools.streamLayeredImage { name = "least"; tag = "1"; contents = [ hello ]; extraCommands = "mkdir tmp"; };

  # A Python that is a program and no script, which does not know where it is when Nix starts it.
  unwrapped = (import ../../nix {
    pkgs = pkgs // { buildPackages = pkgs.buildPackages // { python3 = "/usr"; }; };
  }).dockerTools.streamLayeredImage {
    name = "unwrapped";
    tag = "1";
    extraCommands = "mkdir made";
    fakeRootCommands = "chown 1000:100 made";
  };

  # A base with a database, and an image that adds nothing but to it.
  registered = buildLayeredImage { name = "registered"; contents = [ hello ]; includeNixDB = true; compressor = "none"; };
  onRegistered = streamLayeredImage { name = "on-registered"; fromImage = registered; includeNixDB = true; };

  small = streamLayeredImage {
    name = "small";
    tag = "1";
    contents = with dockerTools; [
      binSh
      usrBinEnv
      caCertificates
      (fakeNss.override { extraPasswdLines = [ "me:x:7:7:me:/:/bin/sh" ]; extraGroupLines = [ "us:x:7:" ]; })
    ];
    config.Entrypoint = [ "/usr/bin/env" ];
  };

  shadowed = streamLayeredImage {
    name = "shadowed";
    tag = "1";
    enableFakechroot = true;
    fakeRootCommands = dockerTools.shadowSetup;
    config.Cmd = shell "cat /etc/passwd /etc/shadow /etc/group /etc/gshadow";
  };

  shellRun = dockerTools.streamNixShellImage {
    drv = inContainer;
    tag = "1";
    run = "$hello/bin/hello; ${busybox}/bin/id -u; buildDerivation && ${busybox}/bin/cat $out";
  };
  shellCommand = dockerTools.buildNixShellImage {
    drv = inContainer;
    tag = "2";
    command = "echo $-; echo $HOME";
    compressor = "none";
  };
  inContainer = derivation {
    name = "in-a-shell";
    inherit (pkgs.stdenv.hostPlatform) system;
    inherit hello;
    text = "from a file";
    passAsFile = [ "text" ];
    shellHook = "echo hooked";
    builder = "${pkgs.bash}/bin/bash";
    args = [ "-c" ''${busybox}/bin/cat $textPath > $out; echo " and built" >> $out'' ];
  };

  # What is refused, each for a reason of its own.
  refused = {
    argument = streamLayeredImage { name = "x"; contens = [ hello ]; };
    budget = streamLayeredImage { name = "x"; maxLayers = 1; };
    compressor = buildLayeredImage { name = "x"; compressor = "xz"; };
    image = dockerTools.buildImage { name = "x"; runAsRoot = "true"; };
    shell = dockerTools.streamNixShellImage { drv = inContainer; run = "a"; command = "b"; };
    pull = dockerTools.pullImage { imageName = "x"; imageDigest = "sha256:0"; };
    darwin = (import ../../nix {
      pkgs = pkgs // { stdenv.hostPlatform = { system = "aarch64-darwin"; }; };
    }).dockerTools.streamLayeredImage { name = "x"; enableFakechroot = true; };
  };

  # What cannot be built, each for a reason of its own.
  failing = {
    budget = based.override { maxLayers = 3; };
    pipeline = pipelined.override { layeringPipeline = [ [ "popularity_contes" ] ]; };
    file = streamLayeredImage { name = "x"; contents = [ ./images.nix ]; };
    config = streamLayeredImage { name = "x"; config.Cmd = "hello"; };
    script = streamLayeredImage { name = "x"; extraCommands = "echo on the way; false"; };
  };
}
