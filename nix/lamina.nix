# The command itself, for those who have a Python with packages.
{ taken, derive }:
let
  needed = packages: builtins.filter (package: package != null) [
    packages.certifi
    packages.click
    packages.rich
    (packages.isal or null)
    (packages.backports-zstd or null)
  ];
  python = "${taken.python3.withPackages needed}/bin/python3";
in
derive.describe { mainProgram = "lamina"; } { } (derive.shell "lamina"
  {
    content = ''
      #!${taken.bash}/bin/bash
      exec ${python} -I -B -c ${derive.quote (derive.start "main")} "$@"
    '';
    passAsFile = [ "content" ];
  } ''
  mkdir -p $out/bin
  cp "$contentPath" $out/bin/lamina
  chmod 755 $out/bin/lamina
'')
