"""Layered container images from Nix store paths.

Every public name is a name of this module. Its home is imported when the name is first used, so that importing lamina
costs almost nothing.

    import sys, lamina
    with lamina.stream_layered_image(contents=["/nix/store/…-hello-2.12.1"], config={"Cmd": ["/bin/hello"]}) as stream:
        image = stream.write_to(sys.stdout.buffer)
"""

from __future__ import annotations

from lamina.version import __version__ as __version__

TYPE_CHECKING = False  # type checkers know the name; importing typing takes longer than all of this module

if TYPE_CHECKING:
    from typing import Any


def __getattr__(name: str) -> Any:
    """Import a public name from its home, as ``__init__.pyi`` has it, which type checkers read too (SPEC 1)."""
    import importlib

    homes = globals().get("_homes") or globals().setdefault("_homes", _find_homes())
    if name == "__all__":
        return list(homes)
    if name not in homes:
        from lamina.api.old_names import resolve

        return resolve(name, __getattr__)
    home = importlib.import_module(homes[name])
    if hasattr(home, "__path__") and name not in vars(home):  # a public module, such as `lamina.layering`
        return importlib.import_module(f"{homes[name]}.{name}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return __getattr__("__all__")


def _find_homes() -> dict[str, str]:
    """Return the module of each public name; the stub has a line ``from MODULE import X as NAME`` for it."""
    lines = (line.split() for line in __loader__.get_data(f"{__file__}i").decode().splitlines())
    return {words[-1]: words[1] for words in lines if words[:1] == ["from"]}
