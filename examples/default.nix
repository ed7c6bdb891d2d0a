# The example closure, built without nixpkgs: the builder is this machine's /bin/sh, and
# the compilers are those in /usr/bin. So it needs `sandbox = false`, and on Debian the
# packages gcc and gcc-aarch64-linux-gnu.
#
# No reference is declared: Nix finds each one by scanning the outputs for store hashes.
let
  build = name: attributes: script:
    derivation ({
      name = "${name}-1.0";
      system = builtins.currentSystem;
      builder = "/bin/sh";
      # The shell itself is the last to end: Nix kills a builder that lives on when its output is closed.
      args = [ "-euc" "${script}\nexit" ];
      PATH = "/usr/bin:/bin";
    } // attributes);

  # A store path that is one file and no folder.
  licence = build "licence" {
    text = ''
      MIT License

      Copyright (c) the lamina contributors

      Permission is hereby granted, free of charge, to any person obtaining a copy
      of this software and associated documentation files (the "Software"), to deal
      in the Software without restriction, including without limitation the rights
      to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
      copies of the Software, and to permit persons to whom the Software is
      furnished to do so, subject to the following conditions:

      The above copyright notice and this permission notice shall be included in all
      copies or substantial portions of the Software.

      THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
      IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
      FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
      AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
      LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
      OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
      SOFTWARE.
    '';
  } ''
    printf %s "$text" > $out
  '';

  languages = build "languages" { inherit licence; } ''
    mkdir -p $out/share/licences
    {
      printf '%s\t%s\t%s\n' code English own
      printf '%s\t%s\t%s\n' de German Deutsch
      printf '%s\t%s\t%s\n' el Greek Ελληνικά
      printf '%s\t%s\t%s\n' en English English
      printf '%s\t%s\t%s\n' fr French français
      printf '%s\t%s\t%s\n' ja Japanese 日本語
    } > $out/share/languages.tsv
    ln -s $licence $out/share/licences/languages
  '';

  # A folder for each language, and a link to it by the language's own name.
  phrases = build "phrases" { inherit languages licence; } ''
    mkdir -p $out/share/licences
    ln -s $licence $out/share/licences/phrases
    language() {
      mkdir -p $out/share/phrases/$1
      printf '%s\n' "$3" > $out/share/phrases/$1/greeting
      printf '%s\n' "$4" > $out/share/phrases/$1/everyone
      ln -s $1 "$out/share/phrases/$2"
    }
    language de Deutsch 'Hallo, @!' Welt
    language el Ελληνικά 'Γεια σου, @!' κόσμε
    language en English 'Hello, @!' world
    language fr français 'Bonjour, @ !' 'tout le monde'
    language ja 日本語 'こんにちは、@！' 世界
    ln -s $languages/share/languages.tsv $out/share/phrases/languages.tsv
  '';

  greeting = build "greeting" { inherit phrases; } ''
    mkdir -p $out/share/greeting
    for language in de el en fr ja; do
      ln -s $phrases/share/phrases/$language $out/share/greeting/$language
    done
    ln -s en $out/share/greeting/default
  '';

  # An empty file, and a file whose name no field of a tar header holds.
  manual = build "manual" { inherit languages licence phrases; } ''
    mkdir -p $out/share/man/man1 $out/share/doc/hello
    cat > $out/share/man/man1/hello.1 <<END
    .TH HELLO 1 "" "hello 1.0"
    .SH NAME
    hello \- greet the world, or somebody in it
    .SH SYNOPSIS
    .B hello
    .RI [ NAME ]...
    .SH DESCRIPTION
    Greet each NAME on a line of its own, or the whole world.
    .SH ENVIRONMENT
    .TP
    .B HELLO_LANGUAGE
    The language to greet in, by its code.
    .SH FILES
    .TP
    $languages/share/languages.tsv
    The languages and their codes.
    .TP
    $phrases/share/phrases
    What is said in each.
    .SH EXIT STATUS
    0, or 1 if a phrase cannot be read or the greeting not written, or 2 for an option it does not have.
    .SH COPYING
    $licence
    END
    : > $out/share/doc/hello/NEWS
    printf 'Take a longer form.\n' > $out/share/doc/hello/how-to-greet-somebody-whose-name-is-longer-than-the-place-that-was-left-for-it-on-the-form-they-were-handed.txt
  '';

  hello = cpu: build "hello" { inherit cpu greeting manual; source = ./hello.c; } ''
    mkdir -p $out/bin $out/share $out/var/empty
    $cpu-linux-gnu-gcc -x c -std=c11 -Wall -Wextra -Werror -Os -o $out/bin/hello $source \
      -DGREETING="\"$greeting/share/greeting\"" \
      -nostdlib -ffreestanding -static -fno-pie -no-pie -s \
      -fno-ident -fno-stack-protector -fno-unwind-tables -fno-asynchronous-unwind-tables \
      -fcf-protection=none -fno-tree-loop-distribute-patterns \
      -Wl,--build-id=none,-z,noseparate-code,-z,noexecstack
    ln -s $out/bin/hello $out/bin/hi
    ln -s $manual/share/man $manual/share/doc $out/share/
  '';
in
{
  inherit licence languages phrases greeting manual;
  x86_64-linux = hello "x86_64";
  aarch64-linux = hello "aarch64";
}
