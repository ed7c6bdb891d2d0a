# A small closure that runs in a container by itself: six paths around a static busybox of the host's.
# The builders are the host's shell and tools, so Nix has to build it with "sandbox = false".
#
#   top ──> app ──> busybox
#    │       ├────> greeting ──> words        (a symlink)
#    │       └────> site ──────> greeting     (a symlink); app also names itself
#    └────> site
let
  build = name: attrs: script: derivation (attrs // {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    PATH = "/usr/bin:/bin";
    # The shell itself has to be the last to end: Nix kills a builder whose output is closed, and a program that the
    # shell turns into closes its own a moment before it ends.
    args = [ "-e" "-u" "-c" "umask 022\n${script}\nexit" ];
  });
in rec {
  # As an input of the derivation, so that another busybox gives another store path.
  busybox = build "busybox-static" { program = /bin/busybox; } ''
    mkdir -p $out/bin
    cp $program $out/bin/busybox
    chmod 755 $out/bin/busybox
    for applet in ash cat echo env false find head httpd id ls nc printf ps readlink sh sha256sum sleep sort stat test \
      touch tr true uname wc; do
      ln -s busybox $out/bin/$applet
    done
  '';

  words = build "words" { } ''
    mkdir -p $out/share
    printf 'good morning\n' > $out/share/words.txt
  '';

  greeting = build "greeting-1.0" { inherit words; } ''
    mkdir -p $out/share/doc
    ln -s $words/share/words.txt $out/share/greeting.txt
    printf 'A greeting.\n' > $out/share/doc/README
  '';

  site = build "site-1.0" { inherit greeting; } ''
    mkdir -p $out/www
    ln -s $greeting/share/greeting.txt $out/www/greeting.txt
    printf '<!doctype html>\n<title>small</title>\n<p>small site\n' > $out/www/index.html
  '';

  # bin/hello: the greeting, "args:" with its arguments, "uid:" with the user's number, "from:" with its own path.
  # bin/serve: HTTP on 127.0.0.1:$PORT (8080): /index.html, /greeting.txt.
  app = build "app-1.0" { inherit busybox greeting site; } ''
    mkdir -p $out/bin
    cat > $out/bin/hello <<END
    #!$busybox/bin/sh
    $busybox/bin/cat $greeting/share/greeting.txt
    echo "args: \$*"
    echo "uid: \$($busybox/bin/id -u)"
    echo "from: $out/bin/hello"
    END
    cat > $out/bin/serve <<END
    #!$busybox/bin/sh
    exec $busybox/bin/httpd -f -p 127.0.0.1:\''${PORT:-8080} -h $site/www
    END
    chmod 755 $out/bin/hello $out/bin/serve
  '';

  top = build "small" { inherit app site; } ''
    mkdir -p $out/bin $out/share
    ln -s $app/bin/hello $app/bin/serve $out/bin/
    ln -s $site $out/share/site
  '';

  # For themselves: a store path that is a symlink, and the folder of one file that it leads to.
  link = build "link" { inherit folder; } "ln -s $folder $out";
  folder = build "folder" { } "mkdir $out; echo 'hello from a folder' > $out/hello.txt";

  # For garbage collection, which keeps what a process of the machine has open or in its environment: no other test
  # uses these paths.
  collected = build "collected" { inherit reference; } "mkdir $out; ln -s $reference $out/reference";
  reference = build "reference" { } "mkdir $out; echo 'a reference' > $out/text";
}
