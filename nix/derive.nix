# The ways in which a derivation is made here: by a shell script, or by lamina's own Python.
taken:
let
  isSource = path: type:
    type == "directory" && baseNameOf path != "__pycache__" || builtins.match ".*\\.pyi?" (baseNameOf path) != null;
  source = builtins.path {
    name = "lamina";
    path = ../src;
    filter = isSource;
  };
in
rec {
  binPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);

  # How lamina's Python is started with nothing but the standard library; what follows are arguments. Nix starts a
  # builder without its path, so that Python does not know where it is and has to be told.
  python = "${taken.python3}/bin/python3";
  start = module: ''import sys; sys.executable = sys.executable or "${python}"; sys.path.insert(0, "${source}"); import lamina.cli.start; from ${module} import main; main()'';

  # The shell itself is the last to end, hence the exit: Nix kills a builder that lives on when its output is closed,
  # and a program that the shell turns into closes its own a moment before it ends.
  shell = name: attributes: script: derivation ({
    inherit name;
    inherit (taken) system;
    builder = "${taken.bash}/bin/bash";
    args = [ "-euc" "PATH=${taken.coreutils}/bin; umask 022\n${script}\nexit" ];
    preferLocalBuild = true;
  } // attributes);

  # A file that may mention store paths, unlike that of builtins.toFile; no variable is as long as it may be.
  text = name: content: shell name { inherit content; passAsFile = [ "content" ]; } ''cp "$contentPath" $out'';

  executable = name: content: shell name { inherit content; passAsFile = [ "content" ]; } ''
    cp "$contentPath" $out
    chmod 755 $out
  '';

  # The sandbox of Nix's build confines scripts, so lamina makes none of its own inside it.
  sandbox = false;

  # What lamina's verb makes of `given`, whose `arguments` are those of lamina's Python functions; a `graph` there is
  # says what is to be known of the closure of these paths.
  lamina = name: verb: { given, graph ? [ ] }: derivation ({
    inherit name given;
    inherit (taken) system;
    builder = python;
    args = [ "-I" "-B" "-c" (start "lamina.cli.nix_builder") verb ];
    __structuredAttrs = true;
    preferLocalBuild = true;
  } // (if graph == [ ] then { } else { exportReferencesGraph.graph = graph; }));

  # nixpkgs' lib.makeOverridable, as far as images need it.
  overridable = make: arguments: make arguments // {
    override = change:
      overridable make (arguments // (if builtins.isFunction change then change arguments else change));
  };

  # `derivation` knows neither of these.
  describe = meta: passthru: made: made // passthru // { inherit meta passthru; };

  quote = word: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString word)}'";

  flatten = value: if builtins.isList value then builtins.concatLists (map flatten value) else [ value ];

  lower =
    let
      letters = first: builtins.genList (number: builtins.substring number 1 first) 26;
    in
    builtins.replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (letters "abcdefghijklmnopqrstuvwxyz");
}
