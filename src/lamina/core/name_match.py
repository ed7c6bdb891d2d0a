"""Which store paths a name means: ``hello``, ``hello-2.12.1``, ``hello^dev`` or ``hello-2.12.1^dev``.

Invariant: the same paths, in whatever order, give the same choice.

A name fits a path whose whole name it is, or whose name it is without the version. A version is all from the first
dash that something else than a letter follows (Nix manual, builtins.parseDrvName), and the name of an output other
than ``out`` is put behind it (Nix source, libstore, outputPathName), so that both ``glibc-2.40`` and
``glibc-2.40-dev`` are glibc's; then ``glibc`` means the first of them, and ``glibc^dev`` the second.
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.names import StorePath, strip_version

OUTPUT_SEPARATOR = "^"
_MAIN_OUTPUT = "out"
_DERIVATION = ".drv"

# Behind a version these are outputs, not parts of it. Others there are may be either, so they are not told apart.
OUTPUTS = frozenset(
    {
        # nixpkgs' hook that sorts files into outputs (multiple-outputs.sh), and what it asks for headers alone
        *("bin", "dev", "lib", "doc", "devdoc", "man", "devman", "info", "include"),
        # nixpkgs' separateDebugInfo, and libraries for static linking
        *("debug", "static"),
        # what Python's packages are built into, and the tests that Gnome's install
        *("dist", "installedTests"),
        # single packages in many closures: glibc, gcc, libressl, bind, libcap, the kernel, lvm2, llvm, cups and texlive
        *("getent", "libgcc", "checksum", "nc", "dnsutils", "host", "pam", "modules", "scripts", "python"),
        *("tex", "texdoc", "texsource", "tlpkg"),
    }
)


def match_paths(paths: Iterable[StorePath], name: str) -> tuple[StorePath, ...]:
    """Those of ``paths`` that ``name`` may mean, ascending, each once; derivations are never among them.

    A package's name without a version means no other outputs where there is one without an output's name, of whichever
    version. ``NAME^OUTPUT`` means that output alone, and ``NAME^out`` the one without an output's name.
    """
    base, mark, output = name.partition(OUTPUT_SEPARATOR)
    some = sorted({path for path in paths if base and not path.name.endswith(_DERIVATION)})
    if mark and output != _MAIN_OUTPUT:
        # One that begins with no letter would be a version.
        return tuple(path for path in some if output[:1].isalpha() and _is_output(path, base, f"-{output}"))
    found = [path for path in some if base in (path.name, path.package)]
    main = [path for path in found if path.name == base or not has_output_suffix(path)]
    return tuple(main if mark or main else found)


def search_prefix(name: str) -> str:
    """What is in the name of every path that fits ``name``, to look for first where there are many."""
    return name.partition(OUTPUT_SEPARATOR)[0]


def has_output_suffix(path: StorePath) -> bool:
    """Whether the name of ``path`` ends with that of an output behind a version."""
    stem, _, output = path.name.rpartition("-")
    return output in OUTPUTS and strip_version(stem) != stem


def _is_output(path: StorePath, base: str, suffix: str) -> bool:
    stem = path.name.removesuffix(suffix)
    return stem != path.name and base in (stem, strip_version(stem))
