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
    from lamina.rootfs.users import User
    from lamina.stores.store import StoreLike

StrPath = str | os.PathLike[str]

_DEFAULT_MOMENT = "1970-01-01T00:00:01Z"


class StoreArguments(TypedDict, total=False):
    """Where store paths come from, and whose signatures are trusted; every function with stores takes these."""

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
        ),
        repeatable(
            "WHERE",
            "A folder that holds nix/store, a closure graph in JSON, a binary cache (file://, https://, s3://) or an "
            "embedded store; repeat it, the first that gives a path wins.  [default: the machine's own, then the "
            "embedded one]",
        ),
    ]
    trusted_keys: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_keys,
            (),
            "Public keys, ``NAME:BASE64``, whose signatures of store paths are trusted, beside that of "
            "cache.nixos.org.",
        ),
        repeatable(
            "NAME:BASE64",
            "A key that signs what binary caches have, beside that of cache.nixos.org.",
            name="--trusted-key",
        ),
    ]
    verify_signatures: Annotated[
        bool,
        Argument(
            parsers.parse_boolean, True, "Whether a path from a binary cache must have the signature of a trusted key."
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
        ),
        Flag("Where names are looked up: a channel such as nixos-25.11, or a list of store paths.", "NAME|URL|FILE"),
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
        Argument(parsers.parse_boolean, False, "Whether the network is not used at all."),
        switch(True, "Ask nobody over the network."),
    ]


class ImageArguments(StoreArguments, total=False):
    """The arguments of `lamina.stream_layered_image`, under their Python names."""

    contents: Annotated[
        StrPath | Iterable[StrPath],
        Argument(
            parsers.parse_texts,
            (),
            "What the image is made of: store paths, folders inside store paths, links to store paths, or package "
            "names that fit exactly one path of the store. Each is linked at the image's root, and its closure is "
            "added.",
            rebase=relative_paths.rebase_roots,
        ),
        repeatable("", "", name="[ROOT]..."),
    ]
    closure: Annotated[
        StrPath | Iterable[StrPath],
        Argument(
            parsers.parse_texts,
            (),
            "Store paths that are added with their closures, without links at the image's root.",
            rebase=relative_paths.rebase_roots,
        ),
        repeatable("PATH", "Add a path with its closure, linking nothing."),
    ]
    from_image: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_path,
            None,
            "The base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it.",
            rebase=relative_paths.rebase_path,
        ),
        Flag(
            "The image to build upon: a docker-archive or OCI layout; NAME chooses one of several in it.", "FILE[#NAME]"
        ),
    ]
    max_unpacked_size: Annotated[
        int | str | None,
        Argument(
            parsers.parse_size,
            None,
            "The most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2 GiB, or "
            "100 times the length of a larger file.",
        ),
        Flag(
            "How much an image may unpack to: bytes, or 500M, 4GiB …  [default: 2GiB, or 100 times a larger file]",
            "SIZE",
        ),
    ]
    max_layers: Annotated[
        int,
        Argument(
            parsers.parse_integer,
            100,
            "The most layers that the image may have, with those of the base image and the customisation layer.",
        ),
        Flag("The most layers, all counted.  [default: 100]", value_type=int),
    ]
    layering: Annotated[
        "StrPath | Sequence[Any] | Pipeline",
        Argument(
            parsers.parse_layering,
            "auto",
            "How store paths are distributed to layers: ``auto``, ``popularity``, a pipeline of operations, or "
            "the name of a JSON file that holds one.",
            key="layeringPipeline",
            rebase=relative_paths.rebase_layering,
        ),
        Flag("auto, popularity, or a JSON file that holds a layeringPipeline.  [default: auto]", "NAME|FILE"),
    ]
    include_store_paths: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            True,
            "Whether the image holds the store paths. Without them, the links at its root dangle.",
        ),
        switch(False, "Leave the store paths out; the links will dangle.", name="--no-store-paths"),
    ]
    # On the command line, the flags in `lamina.cli.container_config` give it.
    config: Annotated[
        Mapping[str, Any],
        Argument(
            parsers.parse_config,
            {},
            "The container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and "
            "``Env``.",
        ),
    ]
    name: Annotated[
        str | None,
        Argument(
            parsers.parse_name, None, "The image's name. By default the package name of the first item of ``contents``."
        ),
        Flag("The image's name.  [default: the first ROOT's package name]"),
    ]
    tag: Annotated[
        str | None,
        Argument(parsers.parse_tag, None, "The image's tag. By default the first 32 hex digits of the image ID."),
        Flag("The image's tag.  [default: from the image ID]"),
    ]
    architecture: Annotated[
        str | None,
        Argument(
            parsers.parse_architecture,
            None,
            "The image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``, "
            "``arm/v7``. By default that of the first program in the image.",
        ),
        Flag("amd64, arm64, arm/v7, or aarch64 …  [default: the first program's]", "ARCH[/VARIANT]"),
    ]
    created: Annotated[
        "str | datetime",
        Argument(parsers.parse_moment, _DEFAULT_MOMENT, "The date of the image: ISO 8601, a `datetime`, or ``now``."),
        Flag("ISO-8601 or now; SOURCE_DATE_EPOCH is the default where set.", "DATE"),
    ]
    mtime: Annotated[
        "str | datetime",
        Argument(
            parsers.parse_moment,
            _DEFAULT_MOMENT,
            "The modification time of all files in store layers: ISO 8601, a `datetime`, or ``now``.",
        ),
        Flag("The date of the files in store layers, ISO-8601 or now.", "DATE"),
    ]
    uid: Annotated[
        int,
        Argument(parsers.parse_id, 0, "The number of the user who owns all files in store layers."),
        Flag("The owner of the files in store layers.  [default: 0]", value_type=int),
    ]
    gid: Annotated[
        int,
        Argument(parsers.parse_id, 0, "The number of the group that owns all files in store layers."),
        Flag("Their group.  [default: 0]", value_type=int),
    ]
    uname: Annotated[
        str,
        Argument(parsers.parse_text, "root", "The name of the user who owns all files in store layers."),
        Flag("The owner's name.  [default: root]"),
    ]
    gname: Annotated[
        str,
        Argument(parsers.parse_text, "root", "The name of the group that owns all files in store layers."),
        Flag("The group's name.  [default: root]"),
    ]
    extra_commands: Annotated[
        str,
        Argument(
            parsers.parse_text,
            "",
            "A Bash script that runs in the folder that becomes the image's root. It uses relative paths.",
        ),
        Flag("Bash to run in the image's root, by relative paths.", "SCRIPT"),
    ]
    inherit: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_inherit, (), "Keys of the base image's container config that are taken over, beside ``Env``."
        ),
        words("KEYS", "What of its config to take over beside Env: Cmd,…"),
    ]
    fake_root_commands: Annotated[
        str,
        Argument(
            parsers.parse_text,
            "",
            "A Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that it can "
            "change owners.",
        ),
        Flag("Bash to run after that, under fakeroot.", "SCRIPT"),
    ]
    enable_fakechroot: Annotated[
        bool,
        Argument(
            parsers.parse_boolean, False, "Whether ``fake_root_commands`` sees the image's root as ``/``, under proot."
        ),
        switch(True, "Run that with the image's root as /, under proot."),
    ]
    include_nix_db: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether the image holds a Nix database in which all its store paths are valid.",
            key="includeNixDB",
        ),
        switch(True, "A database for a Nix inside, of all the store paths."),
    ]
    time_limit: Annotated[
        float | None,
        Argument(
            parsers.parse_seconds, None, "The most seconds that each script may take. By default there is no limit."
        ),
        Flag("The longest that a script may take.", "SECONDS", value_type=float),
    ]
    # A spec file can come from another person, so it may not disable the sandbox.
    sandbox: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            True,
            "Whether scripts are confined to the image's root, without a network. If no sandbox can be had, they "
            "are refused.",
            in_spec_file=False,
        ),
        switch(
            False,
            "Run scripts with all that you may do yourself.  [default: in a sandbox, or not at all]",
            name="--no-sandbox",
        ),
    ]
    extras: Annotated[
        str | Sequence[str],
        Argument(parsers.parse_extras, (), "Ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``."),
        words("WORDS", "Ready-made contents: nss,certs,sh,env,tmp.", name="--with"),
    ]
    add_user: Annotated[
        "str | User | Sequence[str | User]",
        Argument(
            parsers.parse_users,
            (),
            "Users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and "
            "``/etc/group``, and each home folder is created for its user.",
        ),
        repeatable("NAME:UID[:GID[:HOME]]", "Add a user and its group, and create HOME for it.  [default: GID as UID]"),
    ]
    tree: Annotated[
        "Sequence[DeclaredEntry]",
        Argument(
            parsers.parse_tree,
            (),
            "Entries of the image's root, which need no script: `Dir`, `File`, `Symlink`, `Perm` and `Xattr`.",
            rebase=relative_paths.rebase_sources,
        ),
        entries("dir", "PATH[:MODE[:UID:GID]]", "A folder in the root."),
        entries("file", "PATH=SOURCE[:MODE[:UID:GID]]", "A file in the root."),
        entries("symlink", "PATH=TARGET", "A symlink in the root."),
        entries("perm", "PATH:MODE[:UID:GID]", "Mode and owner in the root."),
        entries("xattr", "PATH:NAME=HEX", "An extended attribute."),
    ]
    compressor: Annotated[
        str | None,
        Argument(
            parsers.parse_compressor,
            None,
            "The compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says it.",
        ),
        Flag("[default: as FILE's ending says, else none]", value_type=("none", "gz", "zstd")),
    ]
    layer_compression: Annotated[
        str,
        Argument(
            parsers.parse_layer_compression,
            "none",
            "The compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``.",
        ),
        Flag("How each layer is compressed: none, gzip[:LEVEL] or zstd[:LEVEL].  [default: none]", "WORD"),
    ]
    jobs: Annotated[
        int | None,
        Argument(
            parsers.parse_jobs, None, "The number of processors to use. By default all that this process may use."
        ),
        Flag("Processors.  [default: those this process may use]", "N", value_type=int),
    ]
    layer_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_layer_cache,
            None,
            "The file that keeps what is learnt about layers, so that later images need not read them again. By "
            "default there is none.",
            old_names=("ledger",),
            rebase=relative_paths.rebase_path,
        ),
        Flag("What earlier runs learnt about layers.  [default: in the cache folder]", "PATH"),
        Flag("The old name of --layer-cache.", "PATH", is_hidden=True, name="--ledger"),
        switch(None, "Use nothing of earlier runs, and leave nothing for later ones.", name="--no-layer-cache"),
        switch(None, "The old name of --no-layer-cache.", is_hidden=True, name="--no-ledger"),
    ]
    verify: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether layers that the layer cache knows are read and hashed again, and compared.",
        ),
        switch(True, "Compute again what the layer cache has recorded, and compare."),
    ]
    # Where scripts look for programs, in the form of PATH. A spec file may not choose which programs run.
    search_path: Annotated[
        str,
        Argument(
            parsers.parse_text,
            os.defpath,
            "The folders in which scripts look for programs, in the form of ``PATH``.",
            in_spec_file=False,
        ),
    ]
    embedded_store: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_path,
            None,
            "The folder that keeps the store paths that binary caches send. By default a temporary one.",
            rebase=relative_paths.rebase_path,
        ),
    ]


ARGUMENTS = list_arguments(ImageArguments)
