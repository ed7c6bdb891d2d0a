# Images with the environment of nix-shell for a derivation: its inputs, its variables and a shell.
{ taken, derive, contents, images }:
let
  inherit (derive) describe executable overridable quote text;
  inherit (taken.inside) bashInteractive cacert;

  # The folder in which Nix builds in its sandbox.
  buildFolder = "/build";

  # The string that Nix passes to a builder for a value of an attribute.
  variable = value:
    if builtins.isList value then builtins.concatStringsSep " " (map variable value)
    else if builtins.isPath value || builtins.isAttrs value then "${value}"
    else toString value;

  # The environment of the derivation's builder: attributes, files for those in passAsFile, and outputs.
  variables = drv:
    let
      isLeftOut = name: drv.drvAttrs.__ignoreNulls or false && drv.drvAttrs.${name} == null;
      given = builtins.removeAttrs drv.drvAttrs
        ([ "args" "passAsFile" "__ignoreNulls" ] ++ builtins.filter isLeftOut (builtins.attrNames drv.drvAttrs));
      isFile = name: builtins.elem name (drv.drvAttrs.passAsFile or [ ]);
      entry = name:
        if isFile name then { name = "${name}Path"; value = "${text "pass-as-file" (variable given.${name})}"; }
        else { inherit name; value = variable given.${name}; };
      # Without context, because the outputs are built in the container and must not be built before.
      output = name: { inherit name; value = builtins.unsafeDiscardStringContext drv.${name}.outPath; };
    in
    builtins.listToAttrs (map entry (builtins.attrNames given) ++ map output (drv.outputs or [ "out" ]));

  commandLine = drv:
    let words = [ drv.drvAttrs.builder ] ++ drv.drvAttrs.args or [ ];
    in builtins.concatStringsSep " " (map (word: quote (variable word)) words);

  # The file that bash reads first.
  setup = { shell, searchPath, command }: text "nix-shell-rc" ''
    if [ -n "''${stdenv-}" ] && [ -e "$stdenv/setup" ]; then
      source "$stdenv/setup"
    fi
    PATH=${searchPath}:"$PATH"
    SHELL=${quote shell}
    BASH=${quote shell}
    set +e
    if [ -n "''${PS1-}" ]; then
      PS1='\n\[\033[1;32m\][nix-shell:\w]\$\[\033[0m\] '
    fi
    if [ "$(type -t runHook)" = function ]; then
      runHook shellHook
    elif [ -n "''${shellHook-}" ]; then
      eval "$shellHook"
    fi
    unset NIX_ENFORCE_PURITY
    shopt -u nullglob
    shopt -s execfail
    ${if command == null then "" else "${command}\nexit"}
  '';
in
rec {
  streamNixShellImage = overridable (
    { drv
    , name ? drv.name + "-env"
    , tag ? null
    , uid ? 1000
    , gid ? 1000
    , homeDirectory ? buildFolder
    , shell ? "${bashInteractive}/bin/bash"
    , command ? null
    , run ? null
    }:
    let
      owner = "${toString uid}:${toString gid}";
      build = derive.shell "build-derivation"
        { content = "#!${shell}\nexec ${commandLine drv}\n"; passAsFile = [ "content" ]; } ''
        mkdir -p $out/bin
        cp "$contentPath" $out/bin/buildDerivation
        chmod 755 $out/bin/buildDerivation
      '';
      rc = setup {
        inherit shell;
        searchPath = "${dirOf shell}:${build}/bin";
        command = if command == null then run else command;
      };
      environment = {
        HOME = homeDirectory;
        NIX_BUILD_CORES = "1";
        NIX_STORE = builtins.storeDir;
        PATH = "${dirOf shell}:${build}/bin";
        SSL_CERT_FILE = "${cacert}/etc/ssl/certs/ca-bundle.crt";
      } // variables drv // {
        NIX_BUILD_TOP = buildFolder;
        PWD = buildFolder;
        TEMP = buildFolder;
        TEMPDIR = buildFolder;
        TERM = "xterm-256color";
        TMP = buildFolder;
        TMPDIR = buildFolder;
      };
    in
    if drv.drvAttrs.__structuredAttrs or false then
      throw "streamNixShellImage: got ${drv.name}, which uses __structuredAttrs, expected a derivation that does not"
    else if command != null && run != null then
      throw "streamNixShellImage: got both command and run, expected one of them"
    else
      images.streamLayeredImage {
        inherit name tag;
        contents = [
          contents.binSh
          contents.usrBinEnv
          (contents.fakeNss.override {
            extraPasswdLines = [ "nixbld:x:${owner}:Build user:${homeDirectory}:/noshell" ];
            extraGroupLines = [ "nixbld:!:${toString gid}:" ];
          })
        ];
        # The user needs permission to create outputs in the store, and to write in the build folder.
        fakeRootCommands = ''
          mkdir -p ./nix/{store,var/nix} ./etc/nix .${buildFolder}
          chown -R ${owner} ./nix ./etc/nix .${buildFolder}
        '';
        config = {
          Cmd = [ shell ] ++ (if run == null then [ "--rcfile" "${rc}" ] else [ "${rc}" ]);
          Env = map (name: "${name}=${environment.${name}}") (builtins.attrNames environment);
          User = owner;
          WorkingDir = buildFolder;
        };
      }
  );

  buildNixShellImage = overridable (
    { drv, compressor ? "gz", ... }@arguments:
    let
      stream = streamNixShellImage (builtins.removeAttrs arguments [ "compressor" ]);
      codec = images.compressorFor compressor drv.name;
    in
    describe { }
      (builtins.removeAttrs stream.passthru [ "isExe" ] // { inherit stream; })
      (images.archive "${drv.name}-env.tar${codec.extension}" stream.conf compressor)
  );
}
