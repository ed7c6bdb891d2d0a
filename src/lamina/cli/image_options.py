"""The options that describe an image, and their translation into arguments of the API.

A flag wins over a spec file, and both win over a default.
"""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, cast

import click

from lamina.cli.command import option
from lamina.cli.options import Decorator, collect_given, group_options, list_flags, list_options, make_option
from lamina.cli.sibling_images import add_siblings
from lamina.errors import InvalidArgument, error_context
from lamina.inputs.arguments import ARGUMENTS
from lamina.inputs.declarations import Flag, Phase, repeatable
from lamina.messages.redaction import short_repr

if TYPE_CHECKING:
    from lamina.api.image_index import IndexStream
    from lamina.api.stream import Stream
    from lamina.cli.options import ReportOptions
    from lamina.inputs.arguments import ImageArguments
    from lamina.inputs.specfile import SpecTable

# The arguments whose flags most people need come first in their sections of the help.
_FIRST = (
    "contents",
    "name",
    "tag",
    "from_image",
    "architecture",
    "platforms",
    "roots",
    "created",
    "extras",
    "add_user",
    "tree",
)
# Only ``build`` has ``--compressor``, and only ``push`` has ``--media-types``.
_OF_ONE_VERB = ("compressor", "media_types")
_NAMES = (*_FIRST, *(name for name in ARGUMENTS if name not in (*_FIRST, *_OF_ONE_VERB)))
# The arguments whose options add to what the spec file says.
_ADDED = frozenset(("contents", "roots", "add_user", "tree", "annotations"))
# The arguments that say nothing about the image.
_UNRELATED = ("store", "jobs", "layer_cache", "verify")


class ContainerOptions(NamedTuple):
    """The options of the container config, as the user wrote them; None or empty if they are not given."""

    config: Annotated[
        str | None,
        Flag(
            "Read the config from a JSON file. The options below add to it, or replace what it says.",
            "FILE",
            completion="file",
        ),
    ]
    cmd: Annotated[str | None, Flag("Set the command (Cmd): words as in a shell, or a JSON list.", "WORDS")]
    entrypoint: Annotated[
        str | None,
        Flag("Set the program that the command is given to (Entrypoint), in the same form as --cmd.", "WORDS"),
    ]
    env: Annotated[tuple[str, ...], repeatable("K=V", "Set a variable of the environment (Env).")]
    user: Annotated[str | None, Flag("Run as this user (User).", "USER[:GROUP]")]
    workdir: Annotated[str | None, Flag("Start in this folder (WorkingDir).", "PATH")]
    expose: Annotated[
        tuple[str, ...], repeatable("N[/tcp|udp]", "Declare a port that the program listens on (ExposedPorts).")
    ]
    volume: Annotated[tuple[str, ...], repeatable("PATH", "Declare a folder that holds data (Volumes).")]
    label: Annotated[tuple[str, ...], repeatable("K=V", "Add a label (Labels).")]
    stop_signal: Annotated[
        str | None, Flag("Set the signal that stops the program (StopSignal), such as SIGINT.", "SIGNAL")
    ]


NO_CONTAINER_OPTIONS = ContainerOptions(None, None, None, (), None, None, (), (), (), None)
"""The options of a verb whose images have the config of a spec file, or none."""


class ImageOptions(NamedTuple):
    """The options that describe an image.

    Attributes:
        given: the arguments that flags gave, by name.
        spec_file: the value of ``--spec``.
        container: the options of the container config.
        reference: the value of ``-t``, which is in ``given`` too.

    """

    given: Mapping[str, Any]
    spec_file: str | None
    container: ContainerOptions
    reference: str | None

    @classmethod
    def collect(cls, spec: str | None, reference: str | None, **values: Any) -> "ImageOptions":
        """Make the object of click's values."""
        container = ContainerOptions(**{name: values.pop(name) for name in ContainerOptions._fields})
        given = collect_given(**values)
        if reference is not None:
            given |= _parse_reference(reference, given)
        return cls(given, spec, container, reference)

    def select(self, *names: str) -> dict[str, Any]:
        """Return those of the arguments ``names`` that were given."""
        return {name: self.given[name] for name in names if name in self.given}

    def make_arguments(self) -> "ImageArguments":
        """Return the arguments of `lamina.stream_layered_image` for the one image that the options describe.

        The environment gives ``SOURCE_DATE_EPOCH``, the default of ``created``, and ``PATH``, where scripts find their
        programs. Each ROOT is added to the contents in the spec file.

        Raises:
            InvalidArgument: A value is not valid, or the spec file has no table of the given name.
            InputError: The spec file is missing, or cannot be read.
            FormatError: A file cannot be parsed.
        """
        from lamina.inputs import specfile

        if not self.spec_file:
            return self.merge(None)
        table = specfile.load(self.spec_file)
        arguments = self.merge(table)
        add_siblings({table.name: arguments}, self)
        return arguments

    def make_all_arguments(self) -> "dict[str, ImageArguments]":
        """Return the arguments of every image that the options describe, by the name of its table in the spec file.

        The name is empty for an image without a table. The options that were given hold for every image.

        Raises:
            InvalidArgument: A ROOT or ``--name`` is given for several images, or what `make_arguments` raises.
            InputError: As `make_arguments`.
            FormatError: As `make_arguments`.
        """
        from lamina.inputs import specfile

        if not self.spec_file:
            return {"": self.make_arguments()}
        images = specfile.load_all(self.spec_file)
        if len(images) > 1:
            self._check_for_several(len(images))
        merged = {name: self.merge(table) for name, table in images.items()}
        add_siblings(merged, self)
        return merged

    def _check_for_several(self, count: int) -> None:
        """Raise `InvalidArgument` for an option that only one of ``count`` images in the spec file can have."""
        for argument, given in (("contents", "a ROOT"), ("roots", "--root"), ("name", "--name")):
            if argument in self.given:
                raise InvalidArgument(
                    self.spec_file,
                    f"{count} images and {given}",
                    "one image",
                    hint=f"say which: {self.spec_file}#NAME",
                )

    def merge(self, table: "SpecTable | None") -> "ImageArguments":
        """Return the arguments of an image without siblings; ``table`` is that of the spec file."""
        from lamina.cli.container_config import build_container_config
        from lamina.cli.default_paths import (
            get_default_blob_cache,
            get_default_channel_lists,
            get_default_embedded_store,
            get_default_layer_cache,
        )
        from lamina.inputs.platforms import expand_platforms

        in_file = table.parse_under(self.given, _ADDED) if table else {}
        arguments = {**in_file, **self.given, "search_path": os.environ.get("PATH", os.defpath)}
        epoch = get_source_date_epoch()
        if epoch and "created" not in arguments:
            arguments["created"] = epoch
        if "layer_cache" not in arguments:
            arguments["layer_cache"] = choose_layer_cache()
        arguments.setdefault("local_layer_cache", get_default_layer_cache())
        if self.spec_file:
            arguments["lock_file"] = _locate_lock_file(self.spec_file)
        arguments.setdefault("embedded_store", get_default_embedded_store())
        arguments.setdefault("channel_lists", get_default_channel_lists())
        arguments.setdefault("local_blob_cache", get_default_blob_cache())
        arguments["config"] = build_container_config(in_file.get("config", {}), self.container)
        for name in _ADDED & self.given.keys():
            arguments[name] = (*in_file.get(name, ()), *self.given[name])
        if table:
            with error_context(table.subject, InvalidArgument):
                expand_platforms(arguments)
        return cast("ImageArguments", arguments)


def _locate_lock_file(spec_file: str) -> str:
    from pathlib import Path

    from lamina.inputs.lock_file import locate_lock_file

    return str(locate_lock_file(Path(spec_file.partition("#")[0])))


def get_source_date_epoch() -> str:
    """Return ``SOURCE_DATE_EPOCH`` as ISO 8601, or an empty text if it is not set."""
    from datetime import UTC, datetime

    text = os.environ.get("SOURCE_DATE_EPOCH")
    if not text:
        return ""
    try:
        return datetime.fromtimestamp(int(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument("SOURCE_DATE_EPOCH", short_repr(text), "seconds since 1970") from error


def choose_layer_cache() -> str:
    """Return the default layer cache; remove that of an earlier version."""
    from pathlib import Path

    from lamina.cli.default_paths import get_default_layer_cache
    from lamina.layer_cache.files import remove_old_file

    layer_cache = get_default_layer_cache()
    remove_old_file(Path(layer_cache).parent)
    return layer_cache


def _parse_reference(text: str, given: Mapping[str, Any]) -> dict[str, str]:
    """Return the name, and the tag if there is one, of ``NAME[:TAG]``; refuse others than ``given`` has."""
    from lamina.core.names import parse_repository, parse_tag, split_reference

    name, tag = split_reference(text)
    try:
        parsed = {"name": parse_repository(name), **({"tag": parse_tag(tag)} if tag is not None else {})}
    except InvalidArgument:
        # The error of the part is dropped, because the part may be that of a password.
        expected = "NAME or NAME:TAG, such as hello or host:5000/hello:1.0"
        raise InvalidArgument("-t", short_repr(text), expected) from None
    if parsed["name"] != name:
        # `-t` is strict like that of docker. `--name` lower-cases its value, as nixpkgs' dockerTools does.
        raise InvalidArgument("-t", short_repr(text), "a name in lower case", hint="docker and podman refuse capitals")
    for argument, value in parsed.items():
        if given.get(argument, value) != value:
            other = f"--{argument} {short_repr(given[argument])}"
            raise InvalidArgument("-t", f"{short_repr(text)} and {other}", f"one {argument}")
    return parsed


def image_options(*phases: Phase) -> Decorator:
    """Return a decorator that adds the options that describe an image to a command, which takes them as ``image``.

    Args:
        phases: what the command does; options that only other phases use are left out.

    """
    return group_options(
        "image",
        ImageOptions.collect,
        option(
            "-t",
            "reference",
            section="image",
            metavar="NAME[:TAG]",
            repeat_hint="an image has one name and tag; docker tag and podman tag add others after it is loaded",
            help="Name and tag the image: short for --name and --tag.",
        ),
        option(
            "--spec",
            section="image",
            completion="file",
            metavar="FILE[#NAME]",
            help="Take arguments from a table of a TOML or JSON file; other options replace them, each ROOT is added. "
            "#NAME may be left out if the file has one image.",
        ),
        *list_options(ContainerOptions, "config"),
        *map(make_option, list_flags(*_NAMES, phases=phases)),
    )


def prepare_stream(arguments: "ImageArguments", report: "ReportOptions") -> "Stream":
    """Prepare the image of ``arguments``, and show bars while a base image is fetched from a registry."""
    import lamina
    from lamina.cli.reporting import open_bars

    with open_bars(report) as progress:
        return lamina.stream_layered_image(progress=progress, **arguments)


def prepare_images(arguments: "ImageArguments", report: "ReportOptions") -> "Stream | IndexStream":
    """Prepare the image of ``arguments``, or one for each platform, as `prepare_stream` does."""
    import lamina
    from lamina.cli.reporting import open_bars

    if not has_several_platforms(arguments):
        return prepare_stream(arguments, report)
    with open_bars(report) as progress:
        return lamina.stream_image_index(progress=progress, **arguments)


def has_several_platforms(arguments: "ImageArguments") -> bool:
    """Return whether ``arguments`` are those of images for several platforms. Raises `InvalidArgument`."""
    from lamina.inputs.platforms import expand_platforms

    return len(expand_platforms(arguments)) > 1


def find_image_option(*allowed: str) -> str:
    """Return the first given option that describes an image, as the user writes it; empty if there is none.

    ``a ROOT`` stands for the positional arguments. The parameters ``allowed`` do not count, nor do the options of
    arguments with these names.
    """
    context = click.get_current_context()
    related = {flag.parameter for flag in list_flags(*(name for name in _NAMES if name not in _UNRELATED))}
    related |= {"spec", "reference", *ContainerOptions._fields}
    related -= {*allowed, *(flag.parameter for flag in list_flags(*ARGUMENTS.keys() & {*allowed}))}
    for parameter in context.command.params:
        if parameter.name in related and context.params[parameter.name] not in (None, False, ()):
            return "a ROOT" if isinstance(parameter, click.Argument) else parameter.opts[0]
    return ""
