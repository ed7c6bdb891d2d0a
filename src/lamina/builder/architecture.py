"""The architecture of an image: that of its first program, or otherwise this machine's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lamina.core.callbacks import ignore
from lamina.core.closure import Closure
from lamina.core.names import StorePath, StoreSubpath
from lamina.core.nodes import Node, Regular
from lamina.errors import InvalidArgument, NotFound
from lamina.formats import elf
from lamina.formats.platform import Platform
from lamina.inputs.roots import CHANNEL_HINT, resolve_root
from lamina.messages.redaction import join_names, short_repr
from lamina.stores.store import Store
from lamina.system.extents import read_head

_ARCHITECTURE_HINT = "if they are for different processors, --platform chooses"


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


def resolve_root_for(store: Store, text: str, architecture: str | None) -> StoreSubpath:
    """Return the path that a ROOT names, as `resolve_root`; of several with its name, the one for ``architecture``.

    Raises:
        NotFound: none of several is for ``architecture``, or what `resolve_root` raises.

    """
    if architecture is None:
        return resolve_root(store, text, CHANNEL_HINT, several_hint=_ARCHITECTURE_HINT)
    return resolve_root(store, text, CHANNEL_HINT, lambda paths: choose_paths(text, paths, architecture, store))


def choose_paths(name: str, paths: Sequence[StorePath], architecture: str, store: Store) -> tuple[StorePath, ...]:
    """Return those of ``paths`` that hold programs for ``architecture``, which may have a variant.

    A path without a program, such as a script, is for the architecture of the first program in its closure.

    Raises:
        NotFound: all paths, which have the name ``name``, are for other architectures.

    Errors of ``store`` are passed on.

    """
    wanted = architecture.partition("/")[0]  # an ELF header has no variant
    found = {path: detect_closure_architecture(path, store) for path in paths}
    chosen = tuple(path for path in paths if found[path] == wanted)
    if not chosen and all(found.values()):
        others = join_names(dict.fromkeys(found.values()))
        got = f"{len(found)} paths of that name with programs for {others}"
        raise NotFound(short_repr(name), got, f"one for {architecture}", hint=CHANNEL_HINT)
    return chosen


def detect_closure_architecture(path: StorePath, store: Store) -> str | None:
    """Return the GOARCH of the first program in ``path``, or else in its closure; None if there is none.

    Nothing is known of a path whose contents ``store`` lacks. Errors of ``store`` are passed on.
    """
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
