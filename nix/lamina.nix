# The command `lamina` with its manual pages and completions. It needs a Python with packages. `extras` are those of
# pyproject.toml: lamina.override { extras = [ "serve" "dask" ]; }.
{ taken, derive }:
derive.overridable
  ({ extras ? [ "serve" ] }:
    let
      needed = import ./packages.nix {
        inherit (taken) system;
        inherit extras;
        pythonVersion = taken.python3.pythonVersion or "3.13";
      };
      python = "${taken.python3.withPackages needed}/bin/python3";
      pname = "lamina";
      version = builtins.head
        (builtins.match ".*__version__ = \"([^\"]+)\".*" (builtins.readFile ../src/lamina/version.py));
      manPages = builtins.path { path = ../script/man_pages.py; name = "man_pages.py"; };
      writeManPages = ''import runpy, sys; sys.path.insert(0, "${derive.source}"); runpy.run_path("${manPages}", run_name="__main__")'';
      meta = {
        description = "Layered container images from Nix store paths";
        mainProgram = "lamina";
        platforms = import ./systems.nix;
        # What nixpkgs has as lib.licenses.mit.
        license = {
          spdxId = "MIT";
          shortName = "mit";
          fullName = "MIT License";
          url = "https://spdx.org/licenses/MIT.html";
          free = true;
          redistributable = true;
          deprecated = false;
        };
      };
    in
    derive.describe meta { inherit pname version; } (derive.shell "${pname}-${version}"
      {
        content = ''
          #!${taken.bash}/bin/bash
          exec ${python} -I -B -c ${derive.quote (derive.start "lamina.cli.main")} "$@"
        '';
        passAsFile = [ "content" ];
      } ''
      mkdir -p $out/bin
      cp "$contentPath" $out/bin/lamina
      chmod 755 $out/bin/lamina

      export HOME=$TMPDIR SOURCE_DATE_EPOCH=315532800 # the pages are dated 1980-01-01, as files of nixpkgs are
      ${python} -I -B -c ${derive.quote writeManPages} $out/share/man/man1
      mkdir -p $out/share/bash-completion/completions $out/share/zsh/site-functions $out/share/fish/vendor_completions.d
      $out/bin/lamina completion bash > $out/share/bash-completion/completions/lamina
      $out/bin/lamina completion zsh > $out/share/zsh/site-functions/_lamina
      $out/bin/lamina completion fish > $out/share/fish/vendor_completions.d/lamina.fish
    ''))
{ }
