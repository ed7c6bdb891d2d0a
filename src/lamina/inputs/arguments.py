"""The table of arguments, for the command line, spec files and Python.

Each key of `ImageArguments` declares an argument: its type, its parser, its default, its flags with their help, and its
key in a spec file. To add an argument, add a key here, and what its parser returns to `lamina.inputs.spec.Spec`.

The help of every command needs the table, so the types that other rooms define are texts, which only type checkers
resolve.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from lamina.inputs import parsers, relative_paths
from lamina.inputs.declarations import Argument, Flag, entries, list_arguments, repeatable, switch, words

if TYPE_CHECKING:
    from datetime import datetime

    from lamina.layering import Pipeline
    from lamina.rootfs.entries import DeclaredEntry
    from lamina.stores.store import StoreLike

StrPath = str | os.PathLike[str]

_DEFAULT_MOMENT = "1970-01-01T00:00:01Z"


class StoreArguments(TypedDict, total=False):
    """Where store paths come from, and whose signatures are trusted; every function with stores takes these."""

    store: Annotated[
        "StrPath | StoreLike | Sequence[StrPath]",
        Argument(parsers.parse_store, (), rebase=relative_paths.rebase_paths),
        repeatable(
            "WHERE",
            "A folder that holds nix/store, a closure graph in JSON, a binary cache (file://, https://, s3://) or an "
            "embedded store; repeat it, the first that gives a path wins.  [default: the machine's own, then the "
            "embedded one]",
        ),
    ]
    trusted_keys: Annotated[
        str | Sequence[str],
        Argument(parsers.parse_keys, ()),
        repeatable(
            "NAME:BASE64",
            "A key that signs what binary caches have, beside that of cache.nixos.org.",
            name="--trusted-key",
        ),
    ]
    verify_signatures: Annotated[
        bool,
        Argument(parsers.parse_boolean, True),
        switch(False, "Accept store paths that no trusted key has signed.", name="--no-verify-signatures"),
    ]
    channel: Annotated[
        str | None,
        Argument(parsers.parse_optional_text, None, rebase=relative_paths.rebase_channel),
        Flag("Where names are looked up: a channel such as nixos-25.11, or a list of store paths.", "NAME|URL|FILE"),
    ]
    # The folder that keeps the lists of channels; None for a temporary one.
    channel_lists: Annotated[StrPath | None, Argument(parsers.parse_path, None, rebase=relative_paths.rebase_path)]
    offline: Annotated[bool, Argument(parsers.parse_boolean, False), switch(True, "Ask nobody over the network.")]


class ImageArguments(StoreArguments, total=False):
    """The arguments of `lamina.stream_layered_image`, under their Python names."""

    contents: Annotated[
        StrPath | Iterable[StrPath],
        Argument(parsers.parse_texts, (), rebase=relative_paths.rebase_roots),
        repeatable("", "", name="[ROOT]..."),
    ]
    closure: Annotated[
        StrPath | Iterable[StrPath],
        Argument(parsers.parse_texts, (), rebase=relative_paths.rebase_roots),
        repeatable("PATH", "Add a path with its closure, linking nothing."),
    ]
    from_image: Annotated[
        StrPath | None,
        Argument(parsers.parse_path, None, rebase=relative_paths.rebase_path),
        Flag(
            "The image to build upon: a docker-archive or OCI layout; NAME chooses one of several in it.", "FILE[#NAME]"
        ),
    ]
    max_unpacked_size: Annotated[
        int | str | None,
        Argument(parsers.parse_size, None),
        Flag(
            "How much an image may unpack to: bytes, or 500M, 4GiB …  [default: 2GiB, or 100 times a larger file]",
            "SIZE",
        ),
    ]
    # All layers count, those of the base image and the customisation layer included.
    max_layers: Annotated[
        int, Argument(parsers.parse_integer, 100), Flag("The most layers, all counted.  [default: 100]", value_type=int)
    ]
    layering: Annotated[
        "StrPath | Sequence[Any] | Pipeline",
        Argument(parsers.parse_layering, "auto", key="layeringPipeline", rebase=relative_paths.rebase_layering),
        Flag("auto, popularity, or a JSON file that holds a layeringPipeline.  [default: auto]", "NAME|FILE"),
    ]
    include_store_paths: Annotated[
        bool,
        Argument(parsers.parse_boolean, True),
        switch(False, "Leave the store paths out; the links will dangle.", name="--no-store-paths"),
    ]
    # On the command line, the flags in `lamina.cli.container_config` give it.
    config: Annotated[Mapping[str, Any], Argument(parsers.parse_config, {})]
    # None for the name of the first ROOT.
    name: Annotated[
        str | None,
        Argument(parsers.parse_name, None),
        Flag("The image's name.  [default: the first ROOT's package name]"),
    ]
    # None for the first 32 hex digits of the image's ID.
    tag: Annotated[
        str | None, Argument(parsers.parse_tag, None), Flag("The image's tag.  [default: from the image ID]")
    ]
    # A GOARCH, with a variant if it has one; None for that of the first program.
    architecture: Annotated[
        str | None,
        Argument(parsers.parse_architecture, None),
        Flag("amd64, arm64, arm/v7, or aarch64 …  [default: the first program's]", "ARCH[/VARIANT]"),
    ]
    # The image's date; None for the current time.
    created: Annotated[
        "str | datetime",
        Argument(parsers.parse_moment, _DEFAULT_MOMENT),
        Flag("ISO-8601 or now; SOURCE_DATE_EPOCH is the default where set.", "DATE"),
    ]
    # The date of the image's files; None for the current time.
    mtime: Annotated[
        "str | datetime",
        Argument(parsers.parse_moment, _DEFAULT_MOMENT),
        Flag("The date of the files in store layers, ISO-8601 or now.", "DATE"),
    ]
    uid: Annotated[
        int,
        Argument(parsers.parse_id, 0),
        Flag("The owner of the files in store layers.  [default: 0]", value_type=int),
    ]
    gid: Annotated[int, Argument(parsers.parse_id, 0), Flag("Their group.  [default: 0]", value_type=int)]
    uname: Annotated[str, Argument(parsers.parse_text, "root"), Flag("The owner's name.  [default: root]")]
    gname: Annotated[str, Argument(parsers.parse_text, "root"), Flag("The group's name.  [default: root]")]
    extra_commands: Annotated[
        str, Argument(parsers.parse_text, ""), Flag("Bash to run in the image's root, by relative paths.", "SCRIPT")
    ]
    # Keys of the base image's config that are taken over, beside ``Env``.
    inherit: Annotated[
        str | Sequence[str],
        Argument(parsers.parse_inherit, ()),
        words("KEYS", "What of its config to take over beside Env: Cmd,…"),
    ]
    fake_root_commands: Annotated[
        str, Argument(parsers.parse_text, ""), Flag("Bash to run after that, under fakeroot.", "SCRIPT")
    ]
    enable_fakechroot: Annotated[
        bool, Argument(parsers.parse_boolean, False), switch(True, "Run that with the image's root as /, under proot.")
    ]
    include_nix_db: Annotated[
        bool,
        Argument(parsers.parse_boolean, False, key="includeNixDB"),
        switch(True, "A database for a Nix inside, of all the store paths."),
    ]
    # For each script; None for no limit.
    time_limit: Annotated[
        float | None,
        Argument(parsers.parse_seconds, None),
        Flag("The longest that a script may take.", "SECONDS", value_type=float),
    ]
    # A spec file can come from another person, so it may not disable the sandbox.
    sandbox: Annotated[
        bool,
        Argument(parsers.parse_boolean, True, in_spec_file=False),
        switch(
            False,
            "Run scripts with all that you may do yourself.  [default: in a sandbox, or not at all]",
            name="--no-sandbox",
        ),
    ]
    extras: Annotated[
        str | Sequence[str],
        Argument(parsers.parse_extras, ()),
        words("WORDS", "Ready-made contents: nss,certs,sh,env,tmp.", name="--with"),
    ]
    tree: Annotated[
        "Sequence[DeclaredEntry]",
        Argument(parsers.parse_tree, (), rebase=relative_paths.rebase_sources),
        entries("dir", "PATH[:MODE[:UID:GID]]", "A folder in the root."),
        entries("file", "PATH=SOURCE[:MODE[:UID:GID]]", "A file in the root."),
        entries("symlink", "PATH=TARGET", "A symlink in the root."),
        entries("perm", "PATH:MODE[:UID:GID]", "Mode and owner in the root."),
        entries("xattr", "PATH:NAME=HEX", "An extended attribute."),
    ]
    # None for what the extension of the output says. Only ``build`` has the flag.
    compressor: Annotated[
        str | None,
        Argument(parsers.parse_compressor, None),
        Flag("[default: as FILE's ending says, else none]", value_type=("none", "gz", "zstd")),
    ]
    layer_compression: Annotated[
        str,
        Argument(parsers.parse_layer_compression, "none"),
        Flag("How each layer is compressed: none, gzip[:LEVEL] or zstd[:LEVEL].  [default: none]", "WORD"),
    ]
    jobs: Annotated[
        int | None,
        Argument(parsers.parse_jobs, None),
        Flag("Processors.  [default: those this process may use]", "N", value_type=int),
    ]
    # None for no layer cache.
    layer_cache: Annotated[
        StrPath | None,
        Argument(parsers.parse_layer_cache, None, old_names=("ledger",), rebase=relative_paths.rebase_path),
        Flag("What earlier runs learnt about layers.  [default: in the cache folder]", "PATH"),
        Flag("The old name of --layer-cache.", "PATH", is_hidden=True, name="--ledger"),
        switch(None, "Use nothing of earlier runs, and leave nothing for later ones.", name="--no-layer-cache"),
        switch(None, "The old name of --no-layer-cache.", is_hidden=True, name="--no-ledger"),
    ]
    verify: Annotated[
        bool,
        Argument(parsers.parse_boolean, False),
        switch(True, "Compute again what the layer cache has recorded, and compare."),
    ]
    # Where scripts look for programs, in the form of PATH. A spec file may not choose which programs run.
    search_path: Annotated[str, Argument(parsers.parse_text, os.defpath, in_spec_file=False)]
    # The folder that keeps what binary caches sent; None for a temporary one.
    embedded_store: Annotated[StrPath | None, Argument(parsers.parse_path, None, rebase=relative_paths.rebase_path)]


ARGUMENTS = list_arguments(ImageArguments)
