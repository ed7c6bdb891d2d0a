"""What a ROOT means: a store path, a folder in one, a link to one, or a name.

Invariant: a ROOT means exactly one thing, or an error says which it might have meant.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from lamina.core.names import STORE_DIR, Content, StorePath
from lamina.errors import NotFound, shown
from lamina.stores.protocols import Catalogue, Store
from lamina.system.store_links import led_into_store

_MOST_LISTED = 20
_MOST_CHARACTERS = 1000


def content(store: Store, text: str) -> Content:
    """The store path or folder inside one that a ROOT names; raises `NotFound` and `InvalidName`."""
    if f"{text}/".startswith(STORE_DIR + "/"):  # the store itself is none, on whichever machine
        return Content.parse(text)
    if "/" not in text:
        return Content(_named(store, text), "")
    return Content.parse(led_into_store(text))


def _listed(paths: Sequence[StorePath]) -> str:
    """Return the paths that a message has room for, each of them whole, and how many more there are."""
    texts: list[str] = []
    for path in paths[:_MOST_LISTED]:
        texts.append(str(path))
        if sum(map(len, texts)) > _MOST_CHARACTERS:
            break
    more = [f"and {len(paths) - len(texts)} more"] if len(paths) > len(texts) else []
    return ", ".join([*texts, *more])


def _named(store: Store, name: str) -> StorePath:
    found = store.find(name) if isinstance(store, Catalogue) and name else ()
    if len(found) == 1:
        return found[0]
    if not found:
        is_file = name and os.path.lexists(name)
        hint = f"./{name} is a file here; a path needs a slash" if is_file else "--channel has names of more paths"
        raise NotFound(f"{shown(name)}: got no valid path of that name in the store, expected one", hint=hint)
    raise NotFound(
        f"{shown(name)}: got {len(found)} paths of that name, expected one: {_listed(found)}",
        hint="name one of them by its path",
    )
