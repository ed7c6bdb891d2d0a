"""The arguments that say where store paths come from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypedDict

from lamina.inputs import parsers, relative_paths
from lamina.inputs.argument_groups.paths import StrPath
from lamina.inputs.declarations import Argument, Flag, repeatable, switch

if TYPE_CHECKING:
    from lamina.stores.store import StoreLike


class StoreArguments(TypedDict, total=False):
    """Where store paths come from, and whose signatures are trusted. All functions that read stores take these."""

    store: Annotated[
        "StrPath | StoreLike | Sequence[StrPath]",
        Argument(
            parsers.parse_store,
            (),
            "Where store paths come from: a folder that holds ``nix/store``, a closure graph in JSON, a binary cache "
            "(``file://``, ``https://``, ``s3://``), an embedded store, or an object with the methods of "
            "`StoreLike`. Of several, the first that has a path gives it. By default the machine's own store, "
            "then ``embedded_store``.",
            rebase=relative_paths.rebase_paths,
            section="sources",
            phase="plan",
        ),
        repeatable(
            "WHERE",
            "Read store paths from here: a folder that holds nix/store (/ for this machine's own), a closure graph in "
            "JSON, an embedded store, or a binary cache (https://, file://, s3://). The first that has a path is used."
            "  [default: this machine's store, then the embedded store]",
            completion="file",
        ),
    ]
    trusted_keys: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_keys,
            (),
            "Public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of "
            "cache.nixos.org.",
            section="sources",
            phase="plan",
        ),
        repeatable(
            "NAME:BASE64",
            "Accept store paths that are signed with this public key, besides that of cache.nixos.org.",
            name="--trusted-key",
        ),
    ]
    verify_signatures: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            True,
            "Whether a path from a binary cache must have the signature of a trusted key.",
            section="sources",
            phase="plan",
        ),
        switch(False, "Accept store paths that no trusted key has signed.", name="--no-verify-signatures"),
    ]
    channel: Annotated[
        str | None,
        Argument(
            parsers.parse_optional_text,
            None,
            "Where package names are looked up: a channel such as ``nixos-25.11``, or the URL or file of a list "
            "of store paths.",
            rebase=relative_paths.rebase_channel,
            section="sources",
            phase="plan",
        ),
        Flag(
            "Look package names up here: a channel such as nixos-25.11, or the URL or file of a list of store paths.",
            "NAME|URL|FILE",
            completion="file",
        ),
    ]
    channel_lists: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_path,
            None,
            "The folder that keeps downloaded lists of channels. By default they are not kept.",
            rebase=relative_paths.rebase_path,
        ),
    ]
    offline: Annotated[
        bool,
        Argument(
            parsers.parse_boolean, False, "Whether the network is not used at all.", section="sources", phase="plan"
        ),
        switch(True, "Do not use the network. What would have to be downloaded is an error."),
    ]
