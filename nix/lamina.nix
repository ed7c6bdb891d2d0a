# The command `lamina`, which needs a Python with packages.
{ taken, derive }:
let
  needed = import ./packages.nix {
    inherit (taken) system;
    pythonVersion = taken.python3.pythonVersion or "3.13";
  };
  python = "${taken.python3.withPackages needed}/bin/python3";
in
derive.describe { mainProgram = "lamina"; } { } (derive.shell "lamina"
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
'')
