"""Which processor an image is for.

Invariant: programs decide; the machine is asked only where there is none.
"""

from __future__ import annotations

from collections.abc import Iterable

from lamina.extents import head
from lamina.formats import elf
from lamina.image import Store
from lamina.names import StorePath
from lamina.nodes import Node, Regular

# What the machine calls its processor, to Go's GOARCH.
_MACHINES = {"x86_64": "amd64", "AMD64": "amd64", "aarch64": "arm64", "i686": "386", "armv7l": "arm"}


def architecture_of(paths: Iterable[StorePath], store: Store, otherwise: str = "") -> str:
    """The GOARCH of the first program in ``paths``, else ``otherwise``, else this machine's."""
    found = program_architecture(paths, store) or otherwise
    if found:
        return found
    import platform

    machine = platform.machine()
    return _MACHINES.get(machine, machine.lower() or "amd64")


def program_architecture(paths: Iterable[StorePath], store: Store) -> str | None:
    """The GOARCH of the first program in ``paths``, None where there is none."""
    nodes = (node for path in paths for node in store.nodes(path))
    return next((found for node in nodes if (found := _architecture(node))), None)


def _architecture(node: Node) -> str | None:
    if not isinstance(node, Regular) or not node.executable or node.size < elf.HEADER_SIZE:
        return None
    # A file that was only touched since a ledger listed it is still for the same processor.
    return elf.architecture(head(node.content, elf.HEADER_SIZE, doubt=len))
