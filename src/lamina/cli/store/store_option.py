"""Parse ``--store`` and ``--to``: the folder that a command works in or writes to, and the stores that it reads from.

``fetch``, ``add`` and ``import`` write to ``--to``, and read from ``--store``. The other commands work on the folder
among the values of ``--store``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lamina.cli.command import option
from lamina.cli.default_paths import get_default_channel_lists, get_default_embedded_store
from lamina.cli.options import collect_given, group_options, list_flags, make_option
from lamina.errors import InvalidArgument
from lamina.messages.redaction import holds_secret, short_repr
from lamina.stores.open import is_cache_folder, is_remote

if TYPE_CHECKING:
    from lamina.cli.options import Decorator
    from lamina.inputs.arguments import StoreArguments

_HELP = (
    "Read store paths from here: an embedded store, a folder that holds nix/store, or a binary cache. The first that "
    "has a path is used.  [default: the embedded store in your data folder]"
)


class StoreOptions(NamedTuple):
    """The stores of a verb.

    Attributes:
        folder: the folder to work in.
        sources: the other stores, and how they are used.

    """

    folder: str
    sources: StoreArguments

    @classmethod
    def collect(cls, store: Sequence[str], **values: Any) -> StoreOptions:
        """Make the object of click's values."""
        folder, others = split_stores(store)
        return cls(folder, _make_sources(others, values))

    @classmethod
    def collect_with_destination(cls, to: str | None, store: Sequence[str], **values: Any) -> StoreOptions:
        """Make the object of click's values for a command that writes to ``to``."""
        return cls(choose_destination(to, store), _make_sources(store, values))


def _make_sources(stores: Sequence[str], values: Mapping[str, Any]) -> StoreArguments:
    sources = {"store": tuple(stores), "channel_lists": get_default_channel_lists(), **collect_given(**values)}
    return cast("StoreArguments", sources)


def store_options(text: str = _HELP) -> Decorator:
    """Return a decorator that adds the options for stores to a command, which takes them as ``store``.

    Args:
        text: The help of ``--store``.
    """
    return group_options(
        "store",
        StoreOptions.collect,
        option("--store", section="sources", completion="folder", multiple=True, metavar="WHERE", help=text),
        *map(make_option, list_flags("trusted_keys", "verify_signatures", "channel", "offline")),
    )


destination_option = option(
    "--to",
    section="output",
    completion="folder",
    metavar="DIR",
    help="The store to write to: an embedded store, or a folder that is empty or not there.  [default: the one in your "
    "data folder]",
)


def destination_options(text: str) -> Decorator:
    """Return a decorator that adds ``--to`` and the options for sources to a command, which takes them as ``store``.

    Args:
        text: The help of ``--store``.
    """
    return group_options(
        "store",
        StoreOptions.collect_with_destination,
        destination_option,
        option("--store", section="sources", completion="folder", multiple=True, metavar="WHERE", help=text),
        *map(make_option, list_flags("trusted_keys", "verify_signatures", "channel", "offline")),
    )


def choose_destination(to: str | None, sources: Sequence[str] = ()) -> str:
    """Return the folder to write to, by default the one in the user's data folder.

    Args:
        to: The value of ``--to``.
        sources: The values of ``--store``.

    Raises:
        InvalidArgument: ``to`` is a URL or looks like a secret, or it is not given and a source could be meant instead.
    """
    if to is not None:
        if is_remote(to):
            raise InvalidArgument(
                "to", short_repr(to), "a folder", hint="lamina store push copies store paths to a binary cache"
            )
        return resolve_store_folder(to, "to")
    for source in sources:
        if not _is_embedded_store(source):
            continue
        writing = f"--to {source} writes to it"
        if not is_cache_folder(source):
            got = "an empty folder" if os.path.lexists(source) else "nothing there"
            raise InvalidArgument(f"store {source}", got, "a store to read from", hint=writing)
        reading = f"--store file://{os.path.abspath(source)} reads from it"
        got = "an embedded store without --to"
        raise InvalidArgument(f"store {source}", got, "a destination as well", hint=f"{writing}, {reading}")
    return get_default_embedded_store()


def split_stores(stores: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """Return the folder to work in, by default the one in the user's data folder, and the other stores in their order.

    The folder to work in is the one that is an embedded store, or could become one: it is empty or does not exist.

    Raises:
        InvalidArgument: Two values are such folders, or one looks like a secret.
    """
    folders = [store for store in stores if _is_embedded_store(store)]
    if len(folders) > 1:
        raise InvalidArgument(
            "store",
            f"{short_repr(folders[0])} and {short_repr(folders[1])}",
            "one folder to work in",
            hint=f"to read from the other, name it as a binary cache: --store file://{os.path.abspath(folders[1])}",
        )
    return folders[0] if folders else get_default_embedded_store(), tuple(
        store for store in stores if store not in folders
    )


def find_store_folder(store: str | None) -> str | None:
    """Return the folder to read from; return None if the default one does not exist, which equals an empty store.

    Raises:
        InvalidArgument: The value is a URL or looks like a secret.
    """
    if store is not None and is_remote(store):
        raise InvalidArgument("store", short_repr(store), "the folder of an embedded store")
    folder = resolve_store_folder(store)
    return folder if store is not None or os.path.lexists(folder) else None


def resolve_store_folder(store: str | None, option: str = "store") -> str:
    """Return the folder that ``--store``, or another ``option``, names, by default the one in the user's data folder.

    Raises:
        InvalidArgument: The value is a URL without its scheme, or a key, and would become the name of a new folder.
    """
    if store is not None and not os.path.lexists(store) and holds_secret(store):
        raise InvalidArgument(
            option,
            short_repr(store),
            "a folder, or the URL of a binary cache",
            hint="a URL begins with its scheme: https://, s3:// or file://",
        )
    return store if store is not None else get_default_embedded_store()


def _is_embedded_store(store: str) -> bool:
    if is_remote(store) or not store:
        return False
    resolve_store_folder(store)
    if not os.path.lexists(store):
        from lamina.stores.unknown_locations import make_missing_error

        error = make_missing_error(store)
        if error.hint:  # it is meant to be something else than a new folder
            raise error
        return True
    if is_cache_folder(store):
        return True
    from lamina.stores.embedded.store import may_become_store

    return may_become_store(Path(store))
