"""The arguments about the config of an image: its name, its platform, dates and owners."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from lamina.inputs import parsers, platforms
from lamina.inputs.declarations import Argument, Flag, repeatable

if TYPE_CHECKING:
    from datetime import datetime


_DEFAULT_MOMENT = "1970-01-01T00:00:01Z"


class ConfigArguments(TypedDict, total=False):
    """The container config, names, dates and the owners of files."""

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
