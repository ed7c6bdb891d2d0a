"""Find the container engine that the user chose, or one that is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping

from lamina.engines.containerd import ContainerdEngine
from lamina.engines.docker import DockerEngine
from lamina.engines.engine import Engine
from lamina.engines.names import ENGINE_NAMES
from lamina.engines.podman import PodmanEngine
from lamina.engines.program import EngineProgram
from lamina.errors import InvalidArgument, OutputError
from lamina.messages.redaction import short_repr

_ENGINES: Mapping[str, tuple[str, Callable[[EngineProgram], Engine]]] = {
    "docker": ("docker", DockerEngine),
    "podman": ("podman", PodmanEngine),
    "containerd": ("ctr", ContainerdEngine),
}
_HINT = "install one of them, or write the image to a file with lamina build"


def find_engine(name: str | None, search_path: str | None = None) -> Engine:
    """Return the engine called ``name``; if it is None, the first of `ENGINE_NAMES` whose program is installed.

    Args:
        name: the name of an engine, or None.
        search_path: folders with programs, as in PATH. By default those of PATH.

    Raises:
        InvalidArgument: no engine has that name.
        OutputError: the program of the engine is not installed.

    """
    if name is not None and name not in _ENGINES:
        raise InvalidArgument("engine", short_repr(name), f"one of {', '.join(ENGINE_NAMES)}")
    wanted = ENGINE_NAMES if name is None else (name,)
    for each in wanted:
        program, make = _ENGINES[each]
        if path := shutil.which(program, path=search_path):
            return make(EngineProgram(program, path))
    programs = " or ".join(_ENGINES[each][0] for each in wanted)
    raise OutputError("engine", f"no {programs} on PATH", "a program to load the image with", hint=_HINT)
