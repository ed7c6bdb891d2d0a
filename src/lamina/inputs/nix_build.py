"""ROOTs that are not built yet: an installable of a flake, or an expression in a file, built by the installed Nix.

Invariant: Nix runs for nothing else, and what it leaves is a path in its store; no link to it is made.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence

from lamina.errors import NotFound, Unavailable
from lamina.messages.redaction import short_repr

_FLAKES = ("--extra-experimental-features", "nix-command flakes")
_MAX_HINT_LENGTH = 400


def build_roots(roots: Iterable[str], search_path: str) -> tuple[str, ...]:
    """``roots``, those that are to be built replaced by the store paths that came of them.

    ``FLAKE#ATTRIBUTE`` is for ``nix build``, ``FILE.nix`` and ``FILE.nix#ATTRIBUTE`` for ``nix-build``. Raises
    `NotFound` where there is no Nix on ``search_path``, `Unavailable` where it fails.
    """
    return tuple(path for root in roots for path in _build_root(root, search_path))


def needs_nix_build(root: str) -> bool:
    """Whether ``root`` is no store path and no name, but something that Nix can build."""
    return "#" in root or root.endswith(".nix")


def _build_root(root: str, search_path: str) -> Iterable[str]:
    if not needs_nix_build(root):
        return (root,)
    place, _, attribute = root.partition("#")
    if place.endswith(".nix"):
        chosen = ("-A", attribute) if attribute else ()
        command = ["nix-build", "--no-out-link", *chosen, os.path.abspath(place)]
    else:
        command = ["nix", *_FLAKES, "build", "--no-link", "--json", "--", root]
    import shutil

    program = shutil.which(command[0], path=search_path)
    if not program:
        raise NotFound(
            f"{root}: got no {command[0]} on PATH, expected one to build it", hint="install Nix, or name a store path"
        )
    return _run_nix(root, [program, *command[1:]])


def _run_nix(root: str, command: list[str]) -> Sequence[str]:
    import subprocess

    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    stderr = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode:
        got = f"exit status {done.returncode} of {os.path.basename(command[0])}"
        raise Unavailable(f"{root}: got {got}, expected a store path", hint=_error_reason(stderr))
    try:
        paths = _parse_outputs(done.stdout.decode()) if "--json" in command else done.stdout.decode().split()
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unavailable(f"{root}: got {short_repr(done.stdout)}, expected the store paths that Nix built") from error
    if not paths:
        raise Unavailable(f"{root}: got nothing built, expected a derivation")
    return paths


def _error_reason(stderr: str) -> str:
    """Nix's last word on why."""
    return stderr[max(0, stderr.rfind("error:")) :][:_MAX_HINT_LENGTH]


def _parse_outputs(text: str) -> Sequence[str]:
    """What ``nix build --json`` says: a list of derivations, each with its outputs by name."""
    return [path for item in json.loads(text) for path in item["outputs"].values()]
