"""Find store paths by name: ``hello``, ``hello-2.12.1``, ``hello^dev`` or ``hello-2.12.1^dev``.

A name matches a path if it equals the path's whole name, or the name without the version. The version begins at the
first dash that is followed by something other than a letter (Nix manual, builtins.parseDrvName). The name of an output
other than ``out`` comes after the version (Nix source, libstore, outputPathName), so both ``glibc-2.40`` and
``glibc-2.40-dev`` belong to glibc; ``glibc`` matches the first of them, and ``glibc^dev`` the second.
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.core.names import StorePath, strip_version

OUTPUT_SEPARATOR = "^"
_MAIN_OUTPUT = "out"

# Words that are output names when they follow a version. Any other word could be part of the version or an output name,
# and is treated as part of the version.
OUTPUTS = frozenset(
    {
        # nixpkgs' hook that moves files to outputs (multiple-outputs.sh), and its output for headers only
        *("bin", "dev", "lib", "doc", "devdoc", "man", "devman", "info", "include"),
        # nixpkgs' separateDebugInfo, and libraries for static linking
        *("debug", "static"),
        # the built wheels of Python packages, and the installed tests of Gnome packages
        *("dist", "installedTests"),
        # single packages in many closures: glibc, gcc, libressl, bind, libcap, the kernel, lvm2, llvm, cups and texlive
        *("getent", "libgcc", "checksum", "nc", "dnsutils", "host", "pam", "modules", "scripts", "python"),
        *("tex", "texdoc", "texsource", "tlpkg"),
    }
)


def match_paths(paths: Iterable[StorePath], name: str) -> tuple[StorePath, ...]:
    """Return the ``paths`` that ``name`` matches, sorted and without duplicates or derivations.

    A package name without a version matches main outputs (paths without an output name) of any version; if there are
    none, it matches all outputs. ``NAME^OUTPUT`` matches only that output, and ``NAME^out`` only main outputs.
    """
    base, separator, output = name.partition(OUTPUT_SEPARATOR)
    candidates = sorted({path for path in paths if base and not path.is_derivation})
    if separator and output != _MAIN_OUTPUT:
        # A suffix that does not begin with a letter is a version, not an output name.
        return tuple(path for path in candidates if output[:1].isalpha() and _is_output(path, base, f"-{output}"))
    matches = [path for path in candidates if base in (path.name, path.package)]
    main = [path for path in matches if path.name == base or not has_output_suffix(path)]
    return tuple(main if separator or main else matches)


def search_prefix(name: str) -> str:
    """Return the text that the name of every match begins with, for a quick search before `match_paths`."""
    return name.partition(OUTPUT_SEPARATOR)[0]


def has_output_suffix(path: StorePath) -> bool:
    """Return whether the name of ``path`` ends with a known output name after a version."""
    stem, _, output = path.name.rpartition("-")
    return output in OUTPUTS and strip_version(stem) != stem


def _is_output(path: StorePath, base: str, suffix: str) -> bool:
    stem = path.name.removesuffix(suffix)
    return stem != path.name and base in (stem, strip_version(stem))
