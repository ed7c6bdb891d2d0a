"""The architecture of an image: that of its first program, or otherwise this machine's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.core.callbacks import ignore
from lamina.core.closure import Closure
from lamina.core.names import StorePath
from lamina.core.nodes import Node, Regular
from lamina.errors import InvalidArgument, NotFound
from lamina.formats import elf
from lamina.formats.platform import Platform
from lamina.messages.redaction import short_repr
from lamina.stores.store import Store
from lamina.system.extents import read_head


def choose_architecture(paths: Iterable[StorePath], store: Store, default: str = "") -> str:
    """Return the GOARCH of the first program in ``paths``, else ``default``, else this machine's.

    Raises `InvalidArgument` if images have no name for this machine.
    """
    found = detect_architecture(paths, store) or default
    if found:
        return found
    import platform

    machine = platform.machine()
    try:
        return Platform.parse(machine).architecture
    except InvalidArgument as error:
        raise InvalidArgument(
            "architecture",
            f"{short_repr(machine)}, that of this machine",
            "one that images have",
            hint="say which with --architecture",
        ) from error


def detect_architecture(paths: Iterable[StorePath], store: Store) -> str | None:
    """Return the GOARCH of the first program in ``paths``, None if there is none."""
    nodes = (node for path in paths for node in store.nodes(path))
    return next((found for node in nodes if (found := _read_architecture(node))), None)


def choose_paths(paths: Sequence[StorePath], architecture: str, store: Store) -> tuple[StorePath, ...]:
    """Return those of ``paths`` that hold programs for ``architecture``, which may have a variant.

    A path without a program, such as a script, is for the architecture of the first program in its closure. One that no
    store has is left out. Raises what ``store`` raises.
    """
    wanted = architecture.partition("/")[0]  # an ELF header has no variant
    return tuple(path for path in paths if _detect_in_closure(path, store) == wanted)


def _detect_in_closure(path: StorePath, store: Store) -> str | None:
    try:
        closure = Closure.resolve([path], store.query)
        return detect_architecture(dict.fromkeys([path, *(info.path for info in closure)]), store)
    except NotFound:
        return None


def _read_architecture(node: Node) -> str | None:
    if not isinstance(node, Regular) or not node.executable or node.size < elf.HEADER_SIZE:
        return None
    # A file of which only the mtime changed since it was listed in the layer cache still has the same architecture.
    return elf.parse_architecture(read_head(node.content, elf.HEADER_SIZE, on_mtime_change=ignore))
