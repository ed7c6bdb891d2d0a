"""Resolution of a ROOT: a store path, its hash, a file or folder inside one, a link to one, or a package name.

Invariant: a ROOT resolves to exactly one path, or an error lists the candidates.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence

from lamina.core.name_match import match_paths
from lamina.core.names import DERIVATION, STORE_DIR, StorePath, StoreSubpath, is_store_hash, strip_version
from lamina.errors import InvalidArgument, NotFound
from lamina.messages.redaction import short_repr
from lamina.messages.suggestions import format_suggestion
from lamina.stores.store import Store
from lamina.system.store_links import resolve_store_link

ChoosePaths = Callable[[Sequence[StorePath]], Sequence[StorePath]]
"""Returns those of several paths that are meant, or all or none if it cannot tell."""
CHANNEL_HINT = "--channel nixos-25.11 finds names of more paths, and --store names another store"
"""The hint for a name that no store has, for verbs with the options of `StoreArguments`."""
MISSING_PATH_HINT = (
    "build it first with nix-store --realise, or name a store that has it, such as --store https://cache.nixos.org"
)
"""The hint for a store path that no store has, for verbs with the options of `StoreArguments`."""
LIST_HINT = "lamina store ls lists what is there"
"""The hint for a name that the embedded store lacks."""
# What Nix writes between a derivation and the name of its output.
_DERIVATION_OUTPUT = f"{DERIVATION}^"
_MAX_LISTED = 20
_MAX_LENGTH = 1000
# Names of other lengths are not similar.
_MAX_DIFFERENCE = 3


def resolve_root(
    store: Store,
    text: str,
    hint: str = LIST_HINT,
    choose: ChoosePaths = lambda paths: paths,
    several_hint: str = "",
) -> StoreSubpath:
    """Return the path in a store that a ROOT names.

    Args:
        store: the store in which a package name is looked up.
        text: the ROOT.
        hint: the hint if the store has neither a path of that name nor a similar one.
        choose: returns those of several paths of one name that are meant.
        several_hint: more about how to choose one of several paths.

    Raises:
        NotFound: no path has the name, or several have it; or a link does not lead into the store.
        InvalidArgument: ``text`` is not a valid path in a store.

    """
    if _DERIVATION_OUTPUT in text:
        raise InvalidArgument(
            text,
            "an output of a derivation",
            "a store path or a package name",
            hint=f"nix build --no-link --print-out-paths {shlex.quote(text)} prints its store path",
        )
    if f"{text}/".startswith(STORE_DIR + "/"):  # parse refuses the store folder itself, whether it exists here or not
        return StoreSubpath.parse(text)
    if "/" not in text and text not in (".", ".."):
        return StoreSubpath(_resolve_name(store, text, hint, choose, several_hint), "")
    return StoreSubpath.parse(resolve_store_link(text))


def make_missing_root_error() -> InvalidArgument:
    """Return the error for an image for which no argument names anything that it could hold."""
    return InvalidArgument(
        "image",
        "nothing to put into it",
        "a ROOT: a store path or a package name; or a config that names a store path",
        hint="name what the image is to hold, such as hello or /nix/store/…-hello-2.12.1; an image without store paths "
        "needs a name, and files or a script",
    )


def _format_paths(paths: Sequence[StorePath]) -> str:
    """Return as many complete paths as a message has room for, and the number of the others."""
    texts: list[str] = []
    for path in paths[:_MAX_LISTED]:
        texts.append(str(path))
        if sum(map(len, texts)) > _MAX_LENGTH:
            break
    more = [f"and {len(paths) - len(texts)} more"] if len(paths) > len(texts) else []
    return ", ".join([*texts, *more])


def _resolve_name(store: Store, name: str, hint: str, choose: ChoosePaths, several_hint: str) -> StorePath:
    found = store.find(name) if name else ()
    if not found and is_store_hash(name):
        found = store.find_hash(name)
    if len(found) > 1:
        found = tuple(choose(found)) or found
    if len(found) == 1:
        return found[0]
    if not found:
        got = "no valid path of that name in the store"
        raise NotFound(short_repr(name), got, "one", hint=explain_name(store, name) or hint)
    raise NotFound(
        short_repr(name),
        f"{len(found)} paths of that name",
        f"one: {_format_paths(found)}",
        hint="; ".join(filter(None, (_choose_hint(found), several_hint))),
    )


def _choose_hint(found: Sequence[StorePath]) -> str:
    """Return a hint how to name one of several paths: by its name with the version, if that means only this one."""
    # The name of a path without a version is also the package name of the others: it means all of them.
    unique = [path.name for path in found if len(match_paths(found, path.name)) == 1]
    full_name = f", or by its full name, such as {min(unique, key=len)}" if unique else ""
    return f"name one of them by its path{full_name}"


def explain_name(store: Store, name: str) -> str:
    """Return a hint about what ``name`` may mean if it is not the name of a path; return an empty one otherwise."""
    if _is_base(name):
        return f"did you mean {STORE_DIR}/{name}?"
    if name and os.path.lexists(name):
        return f"./{name} is a {'folder' if os.path.isdir(name) else 'file'} here; a path needs a slash"
    has_version = strip_version(name) != name
    names = store.names() if has_version else {strip_version(known) for known in store.names()}
    # A store may have a hundred thousand names, and comparing takes longer than leaving out most of them.
    near = {known for known in names if known[:1] == name[:1] and abs(len(known) - len(name)) <= _MAX_DIFFERENCE}
    return format_suggestion(name, near - {name})


def _is_base(name: str) -> bool:
    """Return whether ``name`` is HASH-NAME, a store path without its folder."""
    try:
        StorePath.parse_base(name)
    except InvalidArgument:
        return False
    return True
