"""Links into the Nix store, such as the ``./result`` of a build."""

from __future__ import annotations

import os

from lamina.core.names import STORE_DIR
from lamina.errors import InvalidArgument, NotFound

_MAX_LINKS = 40


def resolve_store_link(text: str) -> str:
    """Return the path in the store that ``text`` leads to.

    Links are followed one at a time, and only outside the store: a store path that is a link is returned unchanged.

    Raises:
        NotFound: there is nothing at ``text``.
        InvalidArgument: ``text`` leads to a place outside the store.
    """
    path = os.path.abspath(text)
    for _ in range(_MAX_LINKS):
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if path.startswith(STORE_DIR + "/"):
            return path
        if not os.path.islink(path):
            break
        path = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(path)))
        if path.startswith(STORE_DIR + "/"):
            return path
    if not os.path.lexists(path):
        raise NotFound(text, "nothing there", "a store path or a link to one")
    hint = "lamina store add makes a store path of a file or folder"
    raise InvalidArgument(text, f"a path outside {STORE_DIR}", "one in it", hint=hint)
