# A store path that is a symlink, and one that is a folder of one file.
let
  build = name: script: derivation {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    PATH = "/usr/bin:/bin";
    args = [ "-e" "-u" "-c" "umask 022\n${script}\nexit" ];
  };
in rec {
  link = build "link" "ln -s ${folder} $out";
  folder = build "folder" "mkdir $out; echo 'hello from a folder' > $out/hello.txt";
}
