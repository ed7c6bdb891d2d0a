# Every name, length, link and kind of node that a layer can get wrong, with a busybox to look at them from inside.
# Built as small.nix is. What it cannot hold: names that start with ".wh." (a layer reads them as deletions), and
# what Nix itself takes away (owner, time, setuid, extended attributes).
let
  small = import ./small.nix;
  build = name: attrs: script: derivation (attrs // {
    inherit name;
    system = builtins.currentSystem;
    builder = "/bin/bash";
    PATH = "/usr/bin:/bin";
    args = [ "-e" "-u" "-c" "umask 022; export LC_ALL=C\n${script}\nexit" ];
  });
  repeat = count: text: builtins.concatStringsSep "" (builtins.genList (_: text) count);
in rec {
  # Store paths that are no directory.
  file = build "plain-file" { } "echo 'a file, not a directory' > $out";
  program = build "program" { inherit (small) busybox; } ''
    printf '#!%s/bin/sh\necho program\n' $busybox > $out
    chmod 755 $out
  '';
  link = build "link-to-directory" { inherit (small) greeting; } "ln -s $greeting/share $out";
  # Other store paths: nothing inside; a name as long as Nix allows (207 bytes: ".drv" has to fit after it).
  void = build "void" { } "mkdir $out";
  long = build (repeat 207 "n") { } "mkdir $out; echo long > $out/file";

  # bin/hi: "hi", then how many nodes the tree has, counted inside.
  awkward = build "awkward-1.0+x_y=z?q" {
    inherit file program link void long;
    inherit (small) busybox;
  } ''
    mkdir -p $out/bin $out/names $out/order $out/kinds $out/exact $out/links
    cat > $out/bin/hi <<END
    #!$busybox/bin/sh
    echo hi
    $busybox/bin/find $out -print0 | $busybox/bin/tr -dc '\0' | $busybox/bin/wc -c
    END
    chmod 755 $out/bin/hi

    # Component by component "bin/hi" comes before "bin-foo" and "bin.d/x"; as plain strings it comes after.
    echo > $out/bin-foo
    mkdir $out/bin.d; echo > $out/bin.d/x

    cd $out/names
    for name in ' ' 'sp ace' 'trailing ' $'new\nline' $'tab\t' $'\x01control' $'\x7f' 'back\slash' '\012' \
      '"double"' "'single'" '`tick`' '$HOME' '*' '?' '#' '%41' '&amp;' '=' 'a=b' '+' ':' ';' '~' '-dash' '--' '...' '..a' \
      '.hidden' 'nix' '10 path=x' $'\xff' $'bad\xffutf8' $'cut\xc3' $'\xed\xa0\x80' \
      $'\xc3\xa9' $'e\xcc\x81' $'\xe2\x98\x83' $'\xf0\x9f\x98\x80'; do
      printf '%s' "$name" > "./$name"
    done
    touch CaseName casename; mkdir DIR dir
    touch "$(printf 'l%.0s' {1..250})"
    touch "$(printf '\xf0\x9f\x98\x80%.0s' {1..62})" # 62 characters, 248 bytes

    # In bytes U+E000, emoji, 0xFF; as str with surrogate escapes 0xFF, U+E000, emoji; in UTF-16 emoji, 0xFF, U+E000.
    cd $out/order
    touch $'\xee\x80\x80' $'\xf0\x9f\x98\x80' $'\xff' a A a.b a-b a0
    mkdir a+; touch a+/x

    # Member names of exactly so many bytes ("nix/store/..."), around ustar's limits: 100 for the name, 155 + 1 + 100
    # with a prefix. A slash in front or behind makes each one longer.
    cd $out/exact
    base=$out/exact/; base=''${base#/}
    exactly() { printf -v name '%*s' $(($1 - ''${#base})) '''; name=''${name// /$2}; }
    for count in 98 99 100 101 102; do
      exactly $count f; touch $name
      exactly $count d; mkdir $name
    done
    for count in 154 155 156 157; do # a prefix around 155 bytes, and names that fill up the rest around 100
      exactly $count p; mkdir $name
      for rest in 99 100 101; do
        printf -v leaf '%*s' $rest '''; touch $name/''${leaf// /x}
      done
    done
    exactly 254 u; touch $name # no slash where a prefix could end
    deep=$(printf 'd%.0s' {1..120})
    mkdir -p $deep/$deep/$deep; echo deep > $deep/$deep/$deep/file

    cd $out/links
    for count in 99 100 101 255 256 480; do
      printf -v target '%*s' $count '''; ln -s "''${target// /t}" to-$count
    done
    ln -s /nonexistent/x dangling
    ln -s loop loop
    ln -s . here
    ln -s .. up
    ln -s ../kinds relative
    ln -s $'../names/new\nline' newline
    ln -s $'../names/\xff' bytes
    ln -s 'sp ace ' space
    ln -s $file file
    ln -s $program program
    ln -s $link link
    ln -s $void void
    ln -s $long long
    ln -s $out/kinds itself

    cd $out/kinds
    : > empty
    mkdir empty-directory
    printf '#!/bin/sh\n' > executable; chmod 755 executable
    echo > owner-executable; chmod 744 owner-executable
    echo > read-only; chmod 400 read-only
    for size in 1 511 512 513 10240; do head -c $size /dev/zero | tr '\0' z > size-$size; done
    head -c 1000000 /dev/zero | tr '\0' h > one; ln one two; cp one three
    truncate -s 20M sparse; printf x | dd of=sparse bs=1 seek=10M conv=notrunc status=none
  '';
}
