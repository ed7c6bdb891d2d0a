"""The arguments that name the store paths and the base image of an image."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypedDict

from lamina.inputs import parsers, platforms, relative_paths
from lamina.inputs.argument_groups.paths import StrPath
from lamina.inputs.declarations import Argument, Flag, repeatable, switch


class ContentArguments(TypedDict, total=False):
    """The store paths and the base image."""

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
