"""Resolution of a ROOT: a store path, a file or folder inside one, a link to one, or a package name.

Invariant: a ROOT resolves to exactly one path, or an error lists the candidates.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from lamina.core.names import STORE_DIR, StorePath, StoreSubpath
from lamina.errors import NotFound
from lamina.messages.redaction import short_repr
from lamina.stores.store import Store
from lamina.system.store_links import resolve_store_link

_MAX_LISTED = 20
_MAX_LENGTH = 1000


def resolve_root(store: Store, text: str) -> StoreSubpath:
    """Return the path in a store that a ROOT names.

    Raises:
        NotFound: no path has the name, or several have it; or a link does not lead into the store.
        InvalidArgument: the text is not a valid path in a store.

    """
    if f"{text}/".startswith(STORE_DIR + "/"):  # parse refuses the store folder itself, whether it exists here or not
        return StoreSubpath.parse(text)
    if "/" not in text:
        return StoreSubpath(_resolve_name(store, text), "")
    return StoreSubpath.parse(resolve_store_link(text))


def _format_paths(paths: Sequence[StorePath]) -> str:
    """Return the paths that a message has room for, each complete, and how many more there are."""
    texts: list[str] = []
    for path in paths[:_MAX_LISTED]:
        texts.append(str(path))
        if sum(map(len, texts)) > _MAX_LENGTH:
            break
    more = [f"and {len(paths) - len(texts)} more"] if len(paths) > len(texts) else []
    return ", ".join([*texts, *more])


def _resolve_name(store: Store, name: str) -> StorePath:
    found = store.find(name) if name else ()
    if len(found) == 1:
        return found[0]
    if not found:
        is_file = name and os.path.lexists(name)
        hint = f"./{name} is a file here; a path needs a slash" if is_file else "--channel has names of more paths"
        raise NotFound(short_repr(name), "no valid path of that name in the store", "one", hint=hint)
    raise NotFound(
        short_repr(name),
        f"{len(found)} paths of that name",
        f"one: {_format_paths(found)}",
        hint="name one of them by its path",
    )
