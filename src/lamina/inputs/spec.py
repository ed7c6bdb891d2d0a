"""The table of arguments of an image, for the command line, spec files and Python.

Each field of `Spec` declares an argument: its parser, its default, its flags with their help, and its key in a spec
file. To add an argument, add a field here, and its name and type to `lamina.inputs.arguments` for type checkers.

Invariant: the command line, a spec file and Python give the same `Spec` for the same values, and every value in a
`Spec` has been checked.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from lamina.errors import InvalidArgument
from lamina.inputs import parsers, relative_paths
from lamina.inputs.declarations import Flag, argument, entries, list_arguments, repeatable, switch, words
from lamina.inputs.old_arguments import rename_old_arguments
from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    from datetime import datetime

    from lamina.compression.compressors import LayerCompression
    from lamina.formats.keys import PublicKey
    from lamina.formats.tar import Owner
    from lamina.layering import Pipeline
    from lamina.rootfs.entries import DeclaredEntry
    from lamina.stores.store import Store

_DEFAULT_MOMENT = "1970-01-01T00:00:01Z"


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """The checked arguments of every function with stores: where store paths come from, and who is trusted."""

    store: tuple[str, ...] | Store = argument(
        parsers.parse_store,
        (),
        repeatable(
            "--store",
            "WHERE",
            "A folder that holds nix/store, a closure graph in JSON, a binary cache (file://, https://, s3://) or an "
            "embedded store; repeat it, the first that gives a path wins.  [default: the machine's own, then the "
            "embedded one]",
        ),
        rebase=relative_paths.rebase_paths,
    )
    trusted_keys: tuple[PublicKey, ...] = argument(
        parsers.parse_keys,
        (),
        repeatable(
            "--trusted-key", "NAME:BASE64", "A key that signs what binary caches have, beside that of cache.nixos.org."
        ),
    )
    verify_signatures: bool = argument(
        parsers.parse_boolean,
        True,
        switch("--no-verify-signatures", False, "Take what a binary cache has, whoever signed it or not."),
    )
    channel: str | None = argument(
        parsers.parse_optional_text,
        None,
        Flag(
            "--channel",
            "Where names are looked up: a channel such as nixos-25.11, or a list of store paths.",
            "NAME|URL|FILE",
        ),
    )
    # The folder that keeps the lists of channels; None for a temporary one.
    channel_lists: str | None = argument(parsers.parse_path, None)
    offline: bool = argument(parsers.parse_boolean, False, switch("--offline", True, "Ask nobody over the network."))

    @classmethod
    def parse(cls, arguments: Mapping[str, Any]) -> Self:
        """Check ``arguments`` and return them as a spec.

        Reads the file that ``layering`` names, if it names one.

        Raises:
            InvalidArgument: an argument is unknown or wrong; the message begins with its name.
            InputError: the file is missing, or cannot be read.
            FormatError: the file is not a pipeline in JSON.

        """
        table = list_arguments(cls)
        old_names = {old: name for name, declared in table.items() for old in declared.old_names}
        given = rename_old_arguments(arguments, old_names)
        unknown = [name for name in given if name not in table]
        if unknown:
            raise InvalidArgument("argument", got=short_repr(unknown[0]), expected=f"one of {', '.join(table)}")
        return cls(**{name: table[name].parse(name, value) for name, value in given.items()})


@dataclass(frozen=True, slots=True)
class Spec(StoreSpec):
    """The checked arguments of an image."""

    contents: tuple[str, ...] = argument(
        parsers.parse_texts, (), repeatable("[ROOT]...", "", ""), rebase=relative_paths.rebase_roots
    )
    closure: tuple[str, ...] = argument(
        parsers.parse_texts, (), repeatable("--closure", "PATH", "Add a path with its closure, linking nothing.")
    )
    from_image: str | None = argument(
        parsers.parse_path,
        None,
        Flag(
            "--from-image",
            "The image to build upon: a docker-archive or OCI layout; NAME chooses one of several in it.",
            "FILE[#NAME]",
        ),
        rebase=relative_paths.rebase_path,
    )
    max_unpacked_size: int | None = argument(
        parsers.parse_size,
        None,
        Flag(
            "--max-unpacked-size",
            "How much an image may unpack to: bytes, or 500M, 4GiB …  [default: 2GiB, or 100 times a larger file]",
            "SIZE",
        ),
    )
    # All layers count, those of the base image and the customisation layer included.
    max_layers: int = argument(
        parsers.parse_integer, 100, Flag("--max-layers", "The most layers, all counted.  [default: 100]", type=int)
    )
    layering: str | Pipeline = argument(
        parsers.parse_layering,
        "auto",
        Flag(
            "--layering",
            "auto, popularity, or a JSON file that holds a layeringPipeline.  [default: auto]",
            "NAME|FILE",
        ),
        key="layeringPipeline",
        rebase=relative_paths.rebase_layering,
    )
    include_store_paths: bool = argument(
        parsers.parse_boolean,
        True,
        switch("--no-store-paths", False, "Leave the store paths out; the links will dangle."),
    )
    # On the command line, the flags in `lamina.cli.container_config` give it.
    config: Mapping[str, Any] = argument(parsers.parse_config, {})
    # None for the name of the first ROOT.
    name: str | None = argument(
        parsers.parse_name, None, Flag("--name", "The image's name.  [default: the first ROOT's package name]")
    )
    # None for the first 32 hex digits of the image's ID.
    tag: str | None = argument(parsers.parse_tag, None, Flag("--tag", "The image's tag.  [default: from the image ID]"))
    # A GOARCH, with a variant if it has one; None for that of the first program.
    architecture: str | None = argument(
        parsers.parse_architecture,
        None,
        Flag("--architecture", "amd64, arm64, arm/v7, or aarch64 …  [default: the first program's]", "ARCH[/VARIANT]"),
    )
    # The image's date; None for the current time.
    created: datetime | None = argument(
        parsers.parse_moment,
        _DEFAULT_MOMENT,
        Flag("--created", "ISO-8601 or now; SOURCE_DATE_EPOCH is the default where set.", "DATE"),
    )
    # The date of the image's files; None for the current time.
    mtime: datetime | None = argument(
        parsers.parse_moment,
        _DEFAULT_MOMENT,
        Flag("--mtime", "The date of the files in store layers, ISO-8601 or now.", "DATE"),
    )
    uid: int = argument(
        parsers.parse_id, 0, Flag("--uid", "The owner of the files in store layers.  [default: 0]", type=int)
    )
    gid: int = argument(parsers.parse_id, 0, Flag("--gid", "Their group.  [default: 0]", type=int))
    uname: str = argument(parsers.parse_text, "root", Flag("--uname", "The owner's name.  [default: root]"))
    gname: str = argument(parsers.parse_text, "root", Flag("--gname", "The group's name.  [default: root]"))
    extra_commands: str = argument(
        parsers.parse_text,
        "",
        Flag("--extra-commands", "Bash to run in the image's root, by relative paths.", "SCRIPT"),
    )
    # Keys of the base image's config that are taken over, beside ``Env``.
    inherit: tuple[str, ...] = argument(
        parsers.parse_inherit, (), words("--inherit", "KEYS", "What of its config to take over beside Env: Cmd,…")
    )
    fake_root_commands: str = argument(
        parsers.parse_text, "", Flag("--fake-root-commands", "Bash to run after that, under fakeroot.", "SCRIPT")
    )
    enable_fakechroot: bool = argument(
        parsers.parse_boolean,
        False,
        switch("--enable-fakechroot", True, "Run that with the image's root as /, under proot."),
    )
    include_nix_db: bool = argument(
        parsers.parse_boolean,
        False,
        switch("--include-nix-db", True, "A database for a Nix inside, of all the store paths."),
        key="includeNixDB",
    )
    # For each script; None for no limit.
    time_limit: float | None = argument(
        parsers.parse_seconds, None, Flag("--time-limit", "The longest that a script may take.", "SECONDS", float)
    )
    # A spec file can come from another person, so it may not disable the sandbox.
    sandbox: bool = argument(
        parsers.parse_boolean,
        True,
        switch(
            "--no-sandbox",
            False,
            "Run scripts with all that you may do yourself.  [default: in a sandbox, or not at all]",
        ),
        in_spec_file=False,
    )
    extras: tuple[str, ...] = argument(
        parsers.parse_extras, (), words("--with", "WORDS", "Ready-made contents: nss,certs,sh,env,tmp.")
    )
    tree: tuple[DeclaredEntry, ...] = argument(
        parsers.parse_tree,
        (),
        entries("--dir", "dir", "PATH[:MODE[:UID:GID]]", "A folder in the root."),
        entries("--file", "file", "PATH=SOURCE[:MODE[:UID:GID]]", "A file in the root."),
        entries("--symlink", "symlink", "PATH=TARGET", "A symlink in the root."),
        entries("--perm", "perm", "PATH:MODE[:UID:GID]", "Mode and owner in the root."),
        entries("--xattr", "xattr", "PATH:NAME=HEX", "An extended attribute."),
        rebase=relative_paths.rebase_sources,
    )
    # None for what the extension of the output says. Only ``build`` has the flag.
    compressor: str | None = argument(
        parsers.parse_compressor,
        None,
        Flag("--compressor", "[default: as FILE's ending says, else none]", type=("none", "gz", "zstd")),
    )
    layer_compression: LayerCompression = argument(
        parsers.parse_layer_compression,
        "none",
        Flag(
            "--layer-compression",
            "How each layer is compressed: none, gzip[:LEVEL] or zstd[:LEVEL].  [default: none]",
            "WORD",
        ),
    )
    jobs: int | None = argument(
        parsers.parse_jobs, None, Flag("--jobs", "Processors.  [default: those this process may use]", "N", int)
    )
    # None for no layer cache.
    layer_cache: str | None = argument(
        parsers.parse_layer_cache,
        None,
        Flag("--layer-cache", "What earlier runs learnt about layers.  [default: in the cache folder]", "PATH"),
        Flag("--ledger", "The old name of --layer-cache.", "PATH", is_hidden=True),
        switch("--no-layer-cache", None, "Use nothing of earlier runs, and leave nothing for later ones."),
        switch("--no-ledger", None, "The old name of --no-layer-cache.", is_hidden=True),
        old_names=("ledger",),
        rebase=relative_paths.rebase_path,
    )
    verify: bool = argument(
        parsers.parse_boolean, False, switch("--verify", True, "Find out anew what the layer cache knows, and compare.")
    )
    # Where scripts look for programs, in the form of PATH. A spec file may not choose which programs run.
    search_path: str = argument(parsers.parse_text, os.defpath, in_spec_file=False)
    # The folder that keeps what binary caches sent; None for a temporary one.
    embedded_store: str | None = argument(parsers.parse_path, None, rebase=relative_paths.rebase_path)

    @property
    def owner(self) -> Owner:
        """The owner of the image's files."""
        from lamina.formats.tar import Owner

        return Owner(self.uid, self.gid, self.uname, self.gname)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Messages about the container config."""
        from lamina.formats.container_config import check

        return check(self.config)
