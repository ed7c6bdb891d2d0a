"""The table of arguments, for the command line, spec files and Python.

Each key of `ImageArguments` declares an argument: its type, its parser, its default, its flags with their help, and its
key in a spec file. To add an argument, add a key here, and what its parser returns to `lamina.inputs.spec.Spec`.

The help of every command needs the table, so the types that other rooms define are texts, which only type checkers
resolve.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from lamina.inputs import parsers, platforms, relative_paths
from lamina.inputs.declarations import Argument, Flag, entries, list_arguments, repeatable, switch, words

if TYPE_CHECKING:
    from datetime import datetime

    from lamina.layering import LayeringFunction, Pipeline
    from lamina.rootfs.entries import DeclaredEntry
    from lamina.rootfs.users import User
    from lamina.stores.store import StoreLike

StrPath = str | os.PathLike[str]

_DEFAULT_MOMENT = "1970-01-01T00:00:01Z"


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
            phase="plan",
        ),
        repeatable(
            "",
            "What goes into the image, with everything it needs: a store path, a folder inside one, a link to one such "
            "as ./result, or a package name that matches one path. Where Nix is installed, also what it builds first: "
            "nixpkgs#hello, ./default.nix.",
            name="[ROOT]...",
            completion="file",
        ),
    ]
    roots: Annotated[
        Mapping[str, StrPath | Iterable[StrPath]] | Sequence[str],
        Argument(
            platforms.parse_roots,
            {},
            "Contents for single platforms, beside ``contents``, which all platforms have: an object of lists such as "
            "``{'linux/arm64': ['/nix/store/…']}``, or a list of ``OS/ARCH=ROOT``.",
            rebase=relative_paths.rebase_platform_roots,
            phase="plan",
        ),
        repeatable(
            "OS/ARCH=ROOT",
            "Add ROOT to the image for this platform only, such as linux/arm64=/nix/store/…-hello-2.12.1.",
            name="--root",
            completion="file",
        ),
    ]
    closure: Annotated[
        StrPath | Iterable[StrPath],
        Argument(
            parsers.parse_texts,
            (),
            "Store paths that are added with their closures, without links at the image's root.",
            rebase=relative_paths.rebase_roots,
            phase="plan",
        ),
        repeatable(
            "PATH",
            "Add a store path and everything it needs, without a link at the image's root.",
            completion="file",
        ),
    ]
    from_image: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_path,
            None,
            "The base image: a docker-archive or an OCI layout; ``FILE#NAME`` names one of several images in it. Or a "
            "reference to an image in a registry, such as ``debian:12`` or ``ghcr.io/me/base@sha256:…``.",
            rebase=relative_paths.rebase_image,
            phase="plan",
        ),
        Flag(
            "Start from this image: a docker-archive, an OCI layout or an image in a registry, such as debian:12. NAME "
            "chooses one of several images in a file.",
            "FILE[#NAME]|REF",
            completion="file",
        ),
    ]
    # On the command line, it is beside the spec file.
    lock_file: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_path,
            None,
            "The file that `lock_images` wrote. A base image in a registry has the digest in it, wherever its tag has "
            "moved. A missing file is not used.",
            in_spec_file=False,
            phase="plan",
        ),
    ]
    locked: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether a base image in a registry must have a digest, in its reference or in ``lock_file``.",
            in_spec_file=False,
            phase="plan",
        ),
        switch(
            True,
            "Refuse a base image in a registry that has no digest, neither in its reference nor in lamina.lock, which "
            "is beside the spec file.",
        ),
    ]
    max_unpacked_size: Annotated[
        int | str | None,
        Argument(
            parsers.parse_size,
            None,
            "The most that the base image may unpack to: bytes, or a text such as ``4GiB``. By default 2 GiB, or "
            "100 times the size of a larger file, or of the compressed layers in a registry.",
            phase="plan",
        ),
        Flag(
            "Refuse an image that unpacks to more than this: a number of bytes, or a size such as 500M or 4GiB."
            "  [default: 2GiB, or 100 times the compressed size if that is more]",
            "SIZE",
        ),
    ]
    max_layers: Annotated[
        int,
        Argument(
            parsers.parse_layer_count,
            100,
            "The most layers that the image may have, with those of the base image and the customisation layer.",
            section="layers",
            phase="plan",
        ),
        Flag(
            "Use at most this many layers. Those of a base image and the customisation layer count.  [default: 100]",
            "N",
            value_type=int,
        ),
    ]
    layering: Annotated[
        "StrPath | Sequence[Any] | Pipeline | LayeringFunction",
        Argument(
            parsers.parse_layering,
            "auto",
            "How store paths are distributed to layers: ``auto``, ``cost``, ``popularity``, a pipeline of operations, "
            "the name of a JSON file that holds one, or in Python a function (`LayeringFunction`).",
            key="layeringPipeline",
            rebase=relative_paths.rebase_layering,
            section="layers",
            phase="plan",
        ),
        Flag(
            "How store paths are grouped into layers: auto (as nixpkgs does now), cost (so that an update sends few "
            "bytes), popularity (as nixpkgs did until 2025), or a JSON file with a layering pipeline.  "
            "[default: auto]",
            "NAME|FILE",
            completion=("auto", "cost", "popularity"),
        ),
    ]
    layers: Annotated[
        Sequence[str | Sequence[str]],
        Argument(
            parsers.parse_layer_lists,
            (),
            "Layers of store paths that belong together: for each layer, a list of patterns on package names, such as "
            "``numpy-*``. A path goes to the first list that takes it; ``python3^*`` takes what python3 refers to as "
            "well. ``layering`` plans the other paths.",
            section="layers",
            phase="plan",
        ),
        repeatable(
            "PATTERN[,PATTERN...]",
            "Put the store paths whose package name matches a pattern into a layer of their own, for instance "
            "'python3,numpy-*'. PATTERN^* takes everything that they refer to as well. A path goes to the first "
            "--layer that takes it, and --layering plans the others.",
            name="--layer",
        ),
    ]
    history: Annotated[
        StrPath | Iterable[StrPath],
        Argument(
            parsers.parse_texts,
            (),
            "Earlier images, from which the layering ``cost`` learns how often each package changes: files, OCI "
            "layouts with all their images, folders of image files, references, and repositories without a tag with "
            "all their tags. Only their documents are read.",
            rebase=relative_paths.rebase_images,
            section="layers",
            phase="plan",
        ),
        repeatable(
            "IMAGE|DIR|REF",
            "Learn from earlier images how often each package changes, for --layering cost: an image file, an OCI "
            "layout, a folder of image files, or a reference; without a tag, all tags of the repository.",
            completion="file",
        ),
    ]
    rates: Annotated[
        StrPath | Mapping[str, float],
        Argument(
            parsers.parse_rates,
            {},
            "How often packages change, for the layering ``cost``: a number for each pattern on package names, such as "
            "``{'glibc': 0.5}``, or a file in TOML or JSON with that. 1 is the rate of most packages. The first "
            "pattern that takes a path counts, and more than ``history``.",
            rebase=relative_paths.rebase_path,
            section="layers",
            phase="plan",
        ),
        Flag(
            'Read from this file how often packages change, for --layering cost: a line "PATTERN" = RATE for each, '
            "where 1 is the rate of most packages.",
            "FILE",
            completion="file",
        ),
    ]
    reserve: Annotated[
        int,
        Argument(
            parsers.parse_reserve,
            0,
            "The number of layers that something else will add to the image, such as a Dockerfile: the image has so "
            "few that docker can load it with them.",
            section="layers",
            phase="plan",
        ),
        Flag(
            "Leave room for this many more layers, for instance of a Dockerfile that builds on the image: docker loads "
            "at most 125.  [default: 0]",
            "N",
            value_type=int,
        ),
    ]
    include_store_paths: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            True,
            "Whether the image holds the store paths. Without them, the links at its root dangle.",
            section="layers",
            phase="plan",
        ),
        switch(
            False,
            "Leave the store paths out. The links at the image's root then point to nothing.",
            name="--no-store-paths",
        ),
    ]
    # On the command line, the flags in `lamina.cli.container_config` give it.
    config: Annotated[
        Mapping[str, Any] | None,
        Argument(
            parsers.parse_config,
            {},
            "The container config, with the keys of the OCI and docker image specifications, such as ``Cmd`` and "
            "``Env``.",
            section="config",
            phase="plan",
        ),
    ]
    name: Annotated[
        str | None,
        Argument(
            parsers.parse_name,
            None,
            "The image's name. By default the package name of the first item of ``contents``.",
            phase="plan",
        ),
        Flag("Name the image.  [default: the package name of the first ROOT; in a push, the first --to]", "NAME"),
    ]
    tag: Annotated[
        str | None,
        Argument(
            parsers.parse_tag,
            None,
            "The image's tag. By default the first 32 hex digits of the image ID.",
            phase="plan",
        ),
        Flag(
            "Tag the image.  [default: the first 32 hex digits of the image ID; in a push, the tag of the first --to]",
            "TAG",
        ),
    ]
    architecture: Annotated[
        str | None,
        Argument(
            parsers.parse_architecture,
            None,
            "The image's architecture as Go spells it, with a variant if it has one: ``amd64``, ``arm64``, "
            "``arm/v7``. By default that of the first program in the image.",
            phase="plan",
        ),
        Flag(
            "Set the architecture, such as amd64, arm64 or arm/v7.  [default: that of the first program in the image]",
            "ARCH[/VARIANT]",
            completion=("amd64", "arm64", "arm/v7", "386", "ppc64le", "riscv64", "s390x"),
        ),
    ]
    platforms: Annotated[
        str | Sequence[str],
        Argument(
            platforms.parse_platforms,
            (),
            "The platforms that the image is for, such as ``linux/amd64`` and ``linux/arm64``. `build_image_index` and "
            "`push_image_index` make an image for each; all other functions make one image, and take one platform. By "
            "default those in ``roots``, and without these the one that ``architecture`` says.",
            phase="plan",
        ),
        repeatable(
            "[OS/]ARCH[/VARIANT]",
            "Make the image for this platform, such as linux/arm64 or arm/v7; given several times, an image for each, "
            "and an index that lists them.  [default: those of --root, else that of --architecture]",
            name="--platform",
            completion=("linux/amd64", "linux/arm64", "linux/arm/v7"),
        ),
    ]
    created: Annotated[
        "str | datetime",
        Argument(
            parsers.parse_moment,
            _DEFAULT_MOMENT,
            "The date of the image: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or ``now``.",
        ),
        Flag(
            "Set the date of the image: ISO 8601, @SECONDS since 1970, or now."
            "  [default: SOURCE_DATE_EPOCH if that is set, else 1970-01-01T00:00:01Z]",
            "DATE",
        ),
    ]
    annotations: Annotated[
        Mapping[str, str] | Sequence[str],
        Argument(
            parsers.parse_annotations,
            (),
            "What the image's manifest says about it, in an OCI layout and in a registry: an object of strings, or a "
            "list of ``K=V``. The date of the image and its base image are there already.",
            phase="write",
        ),
        repeatable(
            "K=V",
            "Annotate the image's manifest, in an OCI layout and in a registry, such as "
            "org.opencontainers.image.source=https://example.org/app.",
            name="--annotation",
        ),
    ]
    mtime: Annotated[
        "str | datetime",
        Argument(
            parsers.parse_moment,
            _DEFAULT_MOMENT,
            "The modification time of all files in store layers: ISO 8601, ``@SECONDS`` since 1970, a `datetime`, or "
            "``now``.",
            section="files",
        ),
        Flag(
            "Set the modification time of the files in store layers: ISO 8601, @SECONDS since 1970, or now."
            "  [default: 1970-01-01T00:00:01Z]",
            "DATE",
        ),
    ]
    uid: Annotated[
        int,
        Argument(parsers.parse_id, 0, "The number of the user who owns all files in store layers.", section="files"),
        Flag("Set the number of the user who owns the files in store layers.  [default: 0]", "N", value_type=int),
    ]
    gid: Annotated[
        int,
        Argument(parsers.parse_id, 0, "The number of the group that owns all files in store layers.", section="files"),
        Flag("Set the number of the group that owns them.  [default: 0]", "N", value_type=int),
    ]
    uname: Annotated[
        str,
        Argument(
            parsers.parse_text, "root", "The name of the user who owns all files in store layers.", section="files"
        ),
        Flag("Set the name of the user who owns them.  [default: root]", "NAME"),
    ]
    gname: Annotated[
        str,
        Argument(
            parsers.parse_text, "root", "The name of the group that owns all files in store layers.", section="files"
        ),
        Flag("Set the name of the group that owns them.  [default: root]", "NAME"),
    ]
    extra_commands: Annotated[
        str,
        Argument(
            parsers.parse_text,
            "",
            "A Bash script that runs in the folder that becomes the image's root. It uses relative paths.",
            section="scripts",
        ),
        Flag("Run this Bash script in the folder that becomes the image's root. Paths in it are relative.", "SCRIPT"),
    ]
    inherit: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_inherit,
            (),
            "Keys of the base image's container config that are taken over, beside ``Env``.",
            section="config",
        ),
        words(
            "KEYS",
            "Keep these keys of the base image's config, separated by commas, such as Cmd,User. Env is always kept.",
            completion=("Cmd", "Entrypoint", "ExposedPorts", "Labels", "StopSignal", "User", "Volumes", "WorkingDir"),
        ),
    ]
    fake_root_commands: Annotated[
        str,
        Argument(
            parsers.parse_text,
            "",
            "A Bash script that runs after ``extra_commands`` in the same folder, under fakeroot, so that it can "
            "change owners.",
            section="scripts",
        ),
        Flag("Run this Bash script after --extra-commands, under fakeroot, so that it can change owners.", "SCRIPT"),
    ]
    enable_fakechroot: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether ``fake_root_commands`` sees the image's root as ``/``, under proot.",
            section="scripts",
        ),
        switch(True, "Show the image's root as / to --fake-root-commands, with proot."),
    ]
    include_nix_db: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether the image holds a Nix database in which all its store paths are valid.",
            key="includeNixDB",
            section="files",
        ),
        switch(True, "Add a Nix database with all store paths, for a Nix that runs in the container."),
    ]
    time_limit: Annotated[
        float | None,
        Argument(
            parsers.parse_seconds,
            None,
            "The most seconds that each script may take. By default there is no limit.",
            section="scripts",
        ),
        Flag("Stop a script that runs longer than this.  [default: no limit]", "SECONDS", value_type=float),
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
            section="scripts",
        ),
        switch(
            False,
            "Run scripts without a sandbox, with all of your own permissions.  [default: in a sandbox, and an error "
            "where none can be had]",
            name="--no-sandbox",
        ),
    ]
    extras: Annotated[
        str | Sequence[str],
        Argument(
            parsers.parse_extras,
            (),
            "Ready-made contents: ``nss``, ``certs``, ``sh``, ``env`` and ``tmp``.",
            key="with",  # as the option is called; Python cannot take a keyword as the name of an argument
            section="files",
        ),
        words(
            "WORDS",
            "Add ready-made contents, separated by commas: nss (/etc/passwd, /etc/group and the like), certs (CA "
            "certificates), sh (/bin/sh), env (/usr/bin/env), tmp (a /tmp that everybody can write to).",
            name="--with",
            completion=("nss", "certs", "sh", "env", "tmp"),
        ),
    ]
    add_user: Annotated[
        "str | User | Sequence[str | User]",
        Argument(
            parsers.parse_users,
            (),
            "Users of the image, each a `User` or ``NAME:UID[:GID[:HOME]]``. They are added to ``/etc/passwd`` and "
            "``/etc/group``, and each home folder is created for its user.",
            section="files",
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
            section="files",
            phase="plan",
        ),
        entries("dir", "PATH[:MODE[:UID:GID]]", "Make a folder in the image.", phase="draft"),
        entries("file", "PATH=SOURCE[:MODE[:UID:GID]]", "Copy the file SOURCE into the image, as PATH."),
        entries("symlink", "PATH=TARGET", "Make a symbolic link in the image."),
        entries(
            "perm", "PATH:MODE[:UID:GID]", "Set the mode, and the owner, of a path of the image's root.", phase="draft"
        ),
        entries("xattr", "PATH:NAME=HEX", "Set an extended attribute of a path of the image's root.", phase="draft"),
    ]
    compressor: Annotated[
        str | None,
        Argument(
            parsers.parse_compressor,
            None,
            "The compression of an image file: ``none``, ``gz`` or ``zstd``. By default the file's extension says it.",
            section="output",
            phase="write",
        ),
        Flag(
            "Compress the file.  [default: as the extension of FILE says, else none]",
            "none|gz|zstd",
            value_type=("none", "gz", "zstd"),
        ),
    ]
    format: Annotated[
        str | None,
        Argument(
            parsers.parse_format,
            None,
            "The format of an image file: ``docker``, ``oci`` or ``hybrid``, which has the documents of both. By "
            "default ``docker``; a folder is always ``oci``.",
            section="output",
            phase="archive",
        ),
        Flag(
            "Write a docker-archive, an OCI archive, or a hybrid that programs for either can read.  [default: docker; "
            "oci for a folder]",
            "docker|oci|hybrid",
            value_type=("docker", "oci", "hybrid"),
        ),
    ]
    layer_compression: Annotated[
        str | None,
        Argument(
            parsers.parse_layer_compression,
            None,
            "The compression of each layer: ``none``, ``gzip`` or ``zstd``, optionally with ``:LEVEL``. By default "
            "``gzip`` in a registry, and ``none`` elsewhere.",
            section="layers",
            phase="write",
        ),
        Flag(
            "Compress each layer: none, gzip or zstd, with a level if you like: zstd:9.  [default: gzip in a registry, "
            "else none]",
            "WORD[:LEVEL]",
            completion=("none", "gzip", "zstd"),
        ),
    ]
    media_types: Annotated[
        str | None,
        Argument(
            parsers.parse_media_types,
            None,
            "The media types in a registry: ``oci``, or ``docker`` for registries and programs that know no others. By "
            "default ``oci``, which annotations and layers of zstd need.",
            section="registry",
            phase="write",
        ),
        Flag(
            "Push with these media types: oci, or docker for registries and programs that know no others. Docker's "
            "have neither annotations nor zstd.  [default: oci]",
            "oci|docker",
            value_type=("oci", "docker"),
        ),
    ]
    jobs: Annotated[
        int | None,
        Argument(
            parsers.parse_jobs,
            None,
            "The number of processors to use. By default all that this process may use.",
            section="speed",
            phase="write",
        ),
        Flag("Use this many processors.  [default: all that lamina may use]", "N", value_type=int),
    ]
    layer_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_cache_path,
            None,
            "The file that keeps what is learnt about layers, so that later images need not read them again. By "
            "default there is none.",
            old_names=("ledger",),
            rebase=relative_paths.rebase_path,
            section="speed",
        ),
        Flag(
            "Remember in this file what is in each layer, so that the next run need not read it again. It is created, "
            "and its folder too.  [default: a file in your cache folder]",
            "PATH",
            completion="file",
        ),
        Flag("The old name of --layer-cache.", "PATH", is_hidden=True, name="--ledger"),
        switch(None, "Neither use nor change the layer cache.", name="--no-layer-cache"),
        switch(None, "The old name of --no-layer-cache.", is_hidden=True, name="--no-ledger"),
    ]
    blob_cache: Annotated[
        StrPath | None,
        Argument(
            parsers.parse_cache_path,
            None,
            "The folder that keeps the layers of base images in registries, so that each is fetched once. By default "
            "a temporary one.",
            rebase=relative_paths.rebase_path,
            section="registry",
            phase="plan",
        ),
        Flag(
            "Keep the layers of images from registries in this folder, and look for them there first."
            "  [default: a folder in your cache folder]",
            "DIR",
            completion="folder",
        ),
    ]
    verify: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether layers that the layer cache knows are read and hashed again, and compared.",
            section="speed",
            phase="write",
        ),
        switch(True, "Read the layers that the layer cache knows too, and compare their digests."),
    ]
    # A spec file can come from another person, so it may not send credentials over plain HTTP.
    insecure: Annotated[
        bool,
        Argument(
            parsers.parse_boolean,
            False,
            "Whether a registry on another machine may be used over plain HTTP if it does not speak TLS.",
            in_spec_file=False,
            section="registry",
            phase="plan",
        ),
        switch(True, "Allow plain HTTP for a registry on another machine that does not speak TLS."),
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
