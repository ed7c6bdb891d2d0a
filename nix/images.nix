# Layered images: as a script that streams the image, or as a file.
{ taken, derive }:
let
  inherit (derive) binPath describe executable lamina overridable sandbox shell text;

  # A program with the arguments of nixpkgs' streamer: streamScript CONF [-t NAME:TAG].
  streamScript = executable "stream" ''
    #!${taken.bash}/bin/bash
    exec ${derive.python} -I -B -c ${derive.quote (derive.start "lamina.cli.nix_builder")} stream "$@"
  '';
in
rec {
  # For each compressor: the extension of a file, and the program that compresses if Python cannot.
  compressors = {
    none = { extension = ""; program = null; };
    gz = { extension = ".gz"; program = null; };
    zstd = { extension = ".zst"; program = "${taken.zstd}/bin/zstd"; };
  };

  compressorFor = compressor: name: compressors.${compressor} or (throw
    "in docker image ${name}: compressor must be one of: [${toString (builtins.attrNames compressors)}]");

  streamLayeredImage = overridable (
    { name
    , tag ? null
    , fromImage ? null
    , contents ? [ ]
    , config ? { }
    , architecture ? taken.architecture
    , created ? "1970-01-01T00:00:01Z"
    , mtime ? "1970-01-01T00:00:01Z"
    , uid ? 0
    , gid ? 0
    , uname ? "root"
    , gname ? "root"
    , maxLayers ? 100
    , extraCommands ? ""
    , fakeRootCommands ? ""
    , enableFakechroot ? false
    , includeStorePaths ? true
    , includeNixDB ? false
    , layeringPipeline ? null
    , debug ? false
    , passthru ? { }
    , meta ? { }
    }:
    let
      baseName = baseNameOf name;
      imageName = derive.lower name;
      roots = map (content: "${content}") (derive.flatten contents);
      baseImage =
        if fromImage == null then null
        else if builtins.match ".*\\.zst" "${fromImage}" == null then "${fromImage}"
        else "${unpacked "${fromImage}"}"; # not every Python has zstd
      searchPath = taken.searchPath
        ++ (if fakeRootCommands == "" then [ ] else [ taken.fakeroot ])
        ++ (if enableFakechroot && fakeRootCommands != "" then [ taken.proot ] else [ ]);

      baseJson = text "${baseName}-base.json" (builtins.toJSON {
        inherit architecture;
        config = if config == null then { } else config;
        os = "linux";
      });

      # A file that mentions every path that the root may mention, so that Nix passes their closure to the builder.
      mentioned = text "${baseName}-mentioned" (builtins.toJSON {
        inherit baseJson roots extraCommands fakeRootCommands;
      });

      customisationLayer = lamina "${baseName}-customisation-layer" "customisation-layer" {
        given = {
          inherit baseJson;
          arguments = {
            inherit sandbox;
            contents = roots;
            from_image = baseImage;
            extra_commands = extraCommands;
            fake_root_commands = fakeRootCommands;
            enable_fakechroot = enableFakechroot;
            include_nix_db = includeNixDB;
            search_path = binPath searchPath;
          };
        };
        graph = [ mentioned ];
      };

      conf = lamina "${baseName}-conf.json" "conf" {
        given = {
          inherit baseJson customisationLayer debug;
          arguments = {
            inherit created gname mtime tag uname;
            name = imageName;
            from_image = baseImage;
            include_nix_db = includeNixDB;
            include_store_paths = includeStorePaths;
            max_layers = maxLayers;
            layering =
              if layeringPipeline == null then "auto"
              else if builtins.isList layeringPipeline then layeringPipeline
              else "${layeringPipeline}";
            uid = toString uid;
            gid = toString gid;
          };
        };
        graph = [ baseJson customisationLayer ];
      };

      mainProgram = "stream-${baseName}";

      # The same program twice: as a file, as nixpkgs' function returns it, and in the bin/ of a folder.
      folder = shell "${mainProgram}-bin" { inherit mainProgram; content = launcher; passAsFile = [ "content" ]; } ''
        mkdir -p $out/bin
        cp "$contentPath" $out/bin/$mainProgram
        chmod 755 $out/bin/$mainProgram
      '';
      launcher = "#!${taken.bash}/bin/bash\nexec ${streamScript} ${conf} \"$@\"\n";
      file = executable mainProgram "#!${taken.bash}/bin/bash\nexec ${folder}/bin/${mainProgram} \"$@\"\n";

      own = {
        inherit conf imageName streamScript;
        imageTag = if tag == null then hashOf conf else tag;
        isExe = true;
      };
      program = describe { inherit mainProgram; } { } folder;
    in
    if layeringPipeline == null && !(maxLayers > 1) then
      throw ("the maxLayers argument of dockerTools.streamLayeredImage must be greater than 1 "
        + "(current value: ${toString maxLayers})")
    else if enableFakechroot && taken.isDarwin then
      throw ("dockerTools.streamLayeredImage: enableFakechroot needs proot, which does not run on Darwin; use "
        + "fakeRootCommands without it, or build for or on Linux (https://github.com/NixOS/nixpkgs/issues/327311)")
    else
      # In a string, and for nix-build, the value is the file. `nix run` looks for bin/ below `outPath`, and lib.getExe
      # below `bin`. The file refers to that folder, so the folder is always present with the file.
      describe ({ inherit mainProgram; } // meta) (passthru // own) file // {
        bin = program;
        inherit (folder) outPath;
        __toString = _: file.outPath;
      }
  );

  # The hash in a store path, which is nixpkgs' default tag of an image.
  hashOf = path: builtins.head (builtins.match "([^-]*)-.*" (baseNameOf "${path}"));

  buildLayeredImage = overridable (
    { name, compressor ? "gz", meta ? { }, ... }@arguments:
    let
      stream = streamLayeredImage (builtins.removeAttrs arguments [ "compressor" "meta" ]);
      codec = compressorFor compressor name;
      image = archive "${baseNameOf name}.tar${codec.extension}" stream.conf compressor;
      # The image is a file that is not executable, unlike the stream.
      passthru = builtins.removeAttrs stream.passthru [ "isExe" ] // { inherit stream; };
    in
    describe meta passthru image
  );

  unpacked = image: shell "base-image.tar" { inherit image; } ''
    ${compressors.zstd.program} --quiet --decompress --stdout "$image" > $out
  '';

  # The image file of a conf.json.
  archive = name: conf: compressor: lamina name "archive" {
    given = {
      inherit compressor conf;
      inherit (compressors.${compressor}) program;
    };
  };

  buildLayeredImageWithNixDb = arguments: buildLayeredImage (arguments // { includeNixDB = true; });
}
