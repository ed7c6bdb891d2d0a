# Programs that run from the store alone, made of the host's: a Python to build with, a shell and tools for containers.
# The builders are the host's shell and tools, so Nix has to build it with "sandbox = false".
{ python ? "/usr/bin/python3" }:
let
  build = name: attrs: script: derivation (attrs // {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    PATH = "/usr/bin:/bin";
    # The shell itself has to be the last to end: see tests/integration/nix/small.nix.
    args = [ "-e" "-u" "-o" "pipefail" "-c" "umask 022\n${script}\nexit" ];
  });

  # bundle PROGRAM INTERPRETER FILE...: a wrapper that starts PROGRAM by a copy of the host's loader, with copies of the
  # libraries that it and the FILEs need.
  bundle = ''
    bundle() {
      mkdir -p $out/bin $out/lib $out/libexec
      local name=$(basename $1) interpreter=$2
      cp -L $1 $out/libexec/$name
      shift 2
      ldd $out/libexec/$name "$@" | sed -n 's,.*=> \(/[^ ]*\) .*,\1,p; s,^[[:space:]]*\(/[^ ]*ld-[^ ]*\) .*,\1,p' \
        | sort -u | xargs cp -L -t $out/lib
      # fakeroot says where its library is, in the variable that --library-path stands for.
      printf '#!%s\nexec %s --argv0 %s --library-path %s"''${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}" %s "$@"\n' \
        $interpreter $out/lib/ld-* $out/bin/$name $out/lib $out/libexec/$name > $out/bin/$name
      chmod -R u+w $out
      chmod 755 $out/bin/$name
    }
  '';
in
rec {
  # As inputs of the derivations, so that other programs give other store paths.
  busybox = build "busybox-static" { program = /bin/busybox; } ''
    mkdir -p $out/bin
    cp $program $out/bin/busybox
    chmod 755 $out/bin/busybox
    for applet in $($out/bin/busybox --list); do
      [ $applet = busybox ] || ln -s busybox $out/bin/$applet
    done
  '';

  bash = build "bash-interactive" { program = /bin/bash; inherit busybox; } ''
    ${bundle}
    cp $program bash
    chmod 755 bash
    bundle ./bash $busybox/bin/sh
  '';

  python3 = build "python3" { inherit python; program = builtins.path { path = python; name = "python3"; }; } ''
    ${bundle}
    stdlib=$($python -I -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
    mkdir -p $out/lib/$(basename $stdlib)
    tar -C $stdlib --exclude=__pycache__ --exclude=test --exclude=tests --exclude='config-*' --exclude='*-packages' \
      --exclude=idlelib --exclude=ensurepip --exclude=lib2to3 --exclude=tkinter -c . \
      | tar -C $out/lib/$(basename $stdlib) --no-same-owner -x
    cp -L $python python3
    bundle ./python3 /bin/sh $out/lib/python*/lib-dynload/*.so
    find $out -xtype l -delete
  '';
}
