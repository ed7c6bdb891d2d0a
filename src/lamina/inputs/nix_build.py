"""ROOTs that the installed Nix builds first: an installable of a flake, or an expression in a file.

Only this module runs Nix. The result is a path in Nix's store; no ``result`` link is made.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from lamina.errors import FormatError, NotFound, Unavailable
from lamina.formats.json_toml import parse_json
from lamina.messages.redaction import short_repr

_FLAKES = ("--extra-experimental-features", "nix-command flakes")
_MAX_HINT_LENGTH = 400


def build_roots(roots: Iterable[str], search_path: str) -> tuple[str, ...]:
    """Build the ROOTs that Nix has to build first, and return ``roots`` with these replaced by their store paths.

    ``FLAKE#ATTRIBUTE`` is built with ``nix build``, ``FILE.nix`` and ``FILE.nix#ATTRIBUTE`` with ``nix-build``.

    Raises:
        NotFound: Nix is not on ``search_path``.
        Unavailable: Nix failed.

    """
    return tuple(path for root in roots for path in _build_root(root, search_path))


def needs_nix_build(root: str) -> bool:
    """Return whether ``root`` is something that Nix builds, and not a store path or a package name."""
    return "#" in root or root.endswith(".nix")


def _build_root(root: str, search_path: str) -> Iterable[str]:
    if not needs_nix_build(root):
        return (root,)
    file, _, attribute = root.partition("#")
    if file.endswith(".nix"):
        flags = ("-A", attribute) if attribute else ()
        command = ["nix-build", "--no-out-link", *flags, os.path.abspath(file)]
    else:
        command = ["nix", *_FLAKES, "build", "--no-link", "--json", "--", root]
    import shutil

    program = shutil.which(command[0], path=search_path)
    if not program:
        raise NotFound(root, f"no {command[0]} on PATH", "one to build it", hint="install Nix, or name a store path")
    return _run_nix(root, [program, *command[1:]])


def _run_nix(root: str, command: list[str]) -> Sequence[str]:
    import subprocess

    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    stderr = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode:
        got = f"exit status {done.returncode} of {os.path.basename(command[0])}"
        raise Unavailable(root, got, "a store path", hint=_extract_error(stderr))
    try:
        if "--json" in command:  # a list of derivations, each with named outputs
            paths = [path for item in parse_json(done.stdout, root) for path in item["outputs"].values()]
        else:
            paths = done.stdout.decode().split()
    except (FormatError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable(root, short_repr(done.stdout), "the store paths that Nix built") from error
    if not paths:
        raise Unavailable(root, "nothing built", "a derivation")
    return paths


def _extract_error(stderr: str) -> str:
    """Return the end of Nix's output, from its last ``error:`` on."""
    return stderr[max(0, stderr.rfind("error:")) :][:_MAX_HINT_LENGTH]
