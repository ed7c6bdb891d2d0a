"""The package, the version and the output in the name of a store path.

Nix names the output ``out`` of a derivation like the derivation, and any other output NAME-OUTPUT (Nix source,
libstore, outputPathName). The name of a store path alone does not say whether its last word is an output. The name of
the derivation, which most stores know, does.
"""

from __future__ import annotations

from dataclasses import dataclass

from lamina.core.name_match import has_output_suffix
from lamina.core.names import StorePath, split_version


@dataclass(frozen=True, slots=True)
class PackageName:
    """The parts of a store path's name: package, version and output.

    Attributes:
        name: the package, as `builtins.parseDrvName` gives it.
        version: the version, as `builtins.parseDrvName` gives it; empty if there is none.
        output: the output; empty for the main output, ``out``.
    """

    name: str
    version: str
    output: str = ""

    @classmethod
    def parse(cls, path: StorePath, derivation: str = "") -> PackageName:
        """Return what the name of ``path`` says.

        Args:
            path: the store path.
            derivation: the name of its derivation, without ``.drv``. If it is empty or does not fit, the last word
                after a version is an output only if packages have outputs of that name (`name_match.OUTPUTS`).
        """
        whole, output = _split_output(path, derivation)
        return cls(*split_version(whole), output)


def _split_output(path: StorePath, derivation: str) -> tuple[str, str]:
    if derivation and path.name == derivation:
        return derivation, ""
    if derivation and path.name.startswith(f"{derivation}-"):
        return derivation, path.name[len(derivation) + 1 :]
    if has_output_suffix(path):
        whole, _, output = path.name.rpartition("-")
        return whole, output
    return path.name, ""
