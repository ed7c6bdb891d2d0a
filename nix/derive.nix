# The two ways to make a derivation: with a shell script, or with lamina's own Python modules.
taken:
let
  # All files of the package: besides modules, it reads those of reports/assets.
  source = builtins.path {
    name = "lamina";
    path = ../src;
    filter = path: _: baseNameOf path != "__pycache__";
  };
in
rec {
  inherit source;

  binPath = packages: builtins.concatStringsSep ":" (map (package: "${package}/bin") packages);

  # `start` is a Python program that runs a module of lamina with the standard library. Nix starts a builder without its
  # path, so Python does not know its own location; the program sets it.
  python = "${taken.python3}/bin/python3";
  start = module: ''import sys; sys.executable = sys.executable or "${python}"; sys.path.insert(0, "${source}"); import lamina.cli.start; from ${module} import main; main()'';

  # The exit at the end keeps the shell from replacing itself with the last program. Nix kills a builder that is still
  # alive when its output is closed, and a program closes its output a moment before it ends.
  shell = name: attributes: script: derivation ({
    inherit name;
    inherit (taken) system;
    builder = "${taken.bash}/bin/bash";
    args = [ "-euc" "PATH=${taken.coreutils}/bin; umask 022\n${script}\nexit" ];
    preferLocalBuild = true;
  } // attributes);

  # A file that may mention store paths, unlike one of builtins.toFile. passAsFile is used because the content may be
  # longer than an environment variable can be.
  text = name: content: shell name { inherit content; passAsFile = [ "content" ]; } ''cp "$contentPath" $out'';

  executable = name: content: shell name { inherit content; passAsFile = [ "content" ]; } ''
    cp "$contentPath" $out
    chmod 755 $out
  '';

  # The sandbox of the Nix build confines scripts, so lamina does not create another one inside it.
  sandbox = false;

  # The output of a verb of lamina.cli.nix_builder. `given.arguments` are arguments of lamina's Python functions. Nix
  # passes the closure of the paths in `graph`, with sizes and references, to the builder.
  lamina = name: verb: { given, graph ? [ ] }: derivation ({
    inherit name given;
    inherit (taken) system;
    builder = python;
    args = [ "-I" "-B" "-c" (start "lamina.cli.nix_builder") verb ];
    __structuredAttrs = true;
    preferLocalBuild = true;
  } // (if graph == [ ] then { } else { exportReferencesGraph.graph = graph; }));

  # The part of nixpkgs' lib.makeOverridable that images need.
  overridable = make: arguments: make arguments // {
    override = change:
      overridable make (arguments // (if builtins.isFunction change then change arguments else change));
  };

  # Adds `meta` and `passthru`, which `derivation` does not support.
  describe = meta: passthru: made: made // passthru // { inherit meta passthru; };

  quote = word: "'${builtins.replaceStrings [ "'" ] [ "'\\''" ] (toString word)}'";

  flatten = value: if builtins.isList value then builtins.concatLists (map flatten value) else [ value ];

  lower =
    let
      letters = first: builtins.genList (number: builtins.substring number 1 first) 26;
    in
    builtins.replaceStrings (letters "ABCDEFGHIJKLMNOPQRSTUVWXYZ") (letters "abcdefghijklmnopqrstuvwxyz");
}
