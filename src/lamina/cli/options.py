"""Options that several verbs share, and their translation into arguments of the API.

A flag wins over a spec file, and both win over a default. An option that the user does not give is not passed on, so
that the API's own default holds.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

import click

import lamina
from lamina.errors import InvalidArgument
from lamina.messages.redaction import holds_secret, short_repr

# The help repeats these values of other modules, because importing those modules would make every start slower. A test
# compares them.
COMPRESSORS = ("none", "gz", "zstd")
STRATEGIES = ("auto", "popularity")
EXTRAS = ("nss", "certs", "sh", "env", "tmp")
DEFAULT_MAX_LAYERS = 100
DEFAULT_STRATEGY = "auto"

_Command = TypeVar("_Command", bound=Callable[..., Any])

CACHE_OPTIONS = (
    click.option(
        "--trusted-key",
        "trusted_keys",
        multiple=True,
        metavar="NAME:BASE64",
        help="A key that signs what binary caches have, beside that of cache.nixos.org.",
    ),
    click.option(
        "--no-verify-signatures", is_flag=True, help="Take what a binary cache has, whoever signed it or not."
    ),
    click.option(
        "--channel",
        metavar="NAME|URL|FILE",
        help="Where names are looked up: a channel such as nixos-25.11, or a list of store paths.",
    ),
    click.option("--offline", is_flag=True, help="Ask nobody over the network."),
)
LAYER_CACHE_OPTIONS = (
    click.option(
        "--layer-cache", metavar="PATH", help="What earlier runs learnt about layers.  [default: in the cache folder]"
    ),
    click.option("--ledger", metavar="PATH", hidden=True, help="The old name of --layer-cache."),
)
MAX_UNPACKED_OPTION = click.option(
    "--max-unpacked-size",
    metavar="SIZE",
    help="How much an image may unpack to: bytes, or 500M, 4GiB …  [default: 2GiB, or 100 times a larger file]",
)
PLATFORM_OPTION = click.option(
    "--platform", metavar="[OS/]ARCH[/VARIANT]", help="Take images for this platform alone: linux/arm64, arm/v7 …"
)
_INPUT_OPTIONS = (
    click.argument("contents", metavar="[ROOT]...", nargs=-1),
    click.option("--spec", metavar="FILE[#NAME]", help="Take arguments from a table of a TOML or JSON file."),
    click.option(
        "--store",
        multiple=True,
        metavar="WHERE",
        help="A folder that holds nix/store, a closure graph in JSON, a binary cache (file://, https://, s3://) or an "
        "embedded store; repeat it, the first that gives a path wins.  [default: the machine's own, then the embedded "
        "one]",
    ),
    *CACHE_OPTIONS,
    click.option("--closure", multiple=True, metavar="PATH", help="Add a path with its closure, linking nothing."),
    click.option(
        "--from-image",
        metavar="FILE[#NAME]",
        help="The image to build upon: a docker-archive or OCI layout; NAME chooses one of several in it.",
    ),
    MAX_UNPACKED_OPTION,
    click.option("--max-layers", type=int, help=f"The most layers, all counted.  [default: {DEFAULT_MAX_LAYERS}]"),
    click.option(
        "--layering",
        metavar="NAME|FILE",
        help=f"{', '.join(STRATEGIES)}, or a JSON file that holds a layeringPipeline.  [default: {DEFAULT_STRATEGY}]",
    ),
    click.option("--no-store-paths", is_flag=True, help="Leave the store paths out; the links will dangle."),
)
_CONFIG_OPTIONS = (
    click.option("--config", metavar="FILE", help="The container config in JSON; the flags below are put over it."),
    click.option("--cmd", metavar="WORDS", help="Cmd: a JSON list, or words as a shell splits them."),
    click.option("--entrypoint", metavar="WORDS", help="Entrypoint, likewise."),
    click.option("--env", multiple=True, metavar="K=V", help="A variable of the environment."),
    click.option("--user", metavar="USER[:GROUP]", help="Who the program runs as."),
    click.option("--workdir", metavar="PATH", help="The folder that it starts in."),
    click.option("--expose", multiple=True, metavar="N[/tcp|udp]", help="A port that it listens on."),
    click.option("--volume", multiple=True, metavar="PATH", help="A folder to mount something at."),
    click.option("--label", multiple=True, metavar="K=V", help="A label."),
    click.option("--stop-signal", metavar="SIGNAL", help="The signal that asks it to stop."),
)
_IMAGE_OPTIONS = (
    click.option("--name", help="The image's name.  [default: the first ROOT's package name]"),
    click.option("--tag", help="The image's tag.  [default: from the image ID]"),
    click.option(
        "--architecture",
        metavar="ARCH[/VARIANT]",
        help="amd64, arm64, arm/v7, or aarch64 …  [default: the first program's]",
    ),
    click.option("--created", metavar="DATE", help="ISO-8601 or now; SOURCE_DATE_EPOCH is the default where set."),
    click.option("--mtime", metavar="DATE", help="The date of the files in store layers, ISO-8601 or now."),
    click.option("--uid", type=int, help="The owner of the files in store layers.  [default: 0]"),
    click.option("--gid", type=int, help="Their group.  [default: 0]"),
    click.option("--uname", help="The owner's name.  [default: root]"),
    click.option("--gname", help="The group's name.  [default: root]"),
    click.option("--extra-commands", metavar="SCRIPT", help="Bash to run in the image's root, by relative paths."),
    click.option("--inherit", multiple=True, metavar="KEYS", help="What of its config to take over beside Env: Cmd,…"),
    click.option("--fake-root-commands", metavar="SCRIPT", help="Bash to run after that, under fakeroot."),
    click.option("--enable-fakechroot", is_flag=True, help="Run that with the image's root as /, under proot."),
    click.option("--include-nix-db", is_flag=True, help="A database for a Nix inside, of all the store paths."),
    click.option("--time-limit", type=float, metavar="SECONDS", help="The longest that a script may take."),
    click.option(
        "--no-sandbox",
        is_flag=True,
        help="Run scripts with all that you may do yourself.  [default: in a sandbox, or not at all]",
    ),
    click.option("--with", "extras", multiple=True, metavar="WORDS", help=f"Ready-made contents: {','.join(EXTRAS)}."),
    click.option("--dir", "dirs", multiple=True, metavar="PATH[:MODE[:UID:GID]]", help="A folder in the root."),
    click.option("--file", "files", multiple=True, metavar="PATH=SOURCE[:MODE[:UID:GID]]", help="A file in the root."),
    click.option("--symlink", "symlinks", multiple=True, metavar="PATH=TARGET", help="A symlink in the root."),
    click.option("--perm", "perms", multiple=True, metavar="PATH:MODE[:UID:GID]", help="Mode and owner in the root."),
    click.option("--xattr", "xattrs", multiple=True, metavar="PATH:NAME=HEX", help="An extended attribute."),
    click.option(
        "--layer-compression",
        metavar="WORD",
        help="How each layer is compressed: none, gzip[:LEVEL] or zstd[:LEVEL].  [default: none]",
    ),
    click.option("--jobs", type=int, metavar="N", help="Processors.  [default: those this process may use]"),
    *LAYER_CACHE_OPTIONS,
    click.option(
        "--no-layer-cache", is_flag=True, help="Use nothing of earlier runs, and leave nothing for later ones."
    ),
    click.option("--no-ledger", is_flag=True, hidden=True, help="The old name of --no-layer-cache."),
    click.option("--verify", is_flag=True, help="Find out anew what the layer cache knows, and compare."),
)
_OUTPUT_OPTIONS = (
    click.option(
        "--progress", type=click.Choice(["auto", "plain"]), default="auto", help="Bars on a terminal, or lines."
    ),
    click.option("--quiet", is_flag=True, help="Say nothing but errors."),
    click.option("--json", "as_json", is_flag=True, help="A machine-readable result."),
    click.option("--debug", is_flag=True, help="Show where an error comes from."),
)


def output_options(command: _Command) -> _Command:
    """Add the options for progress, JSON and ``--debug`` to ``command``."""
    return _add_options(_OUTPUT_OPTIONS, command)


def image_options(command: _Command) -> _Command:
    """Add all options that describe an image to ``command``, and those of `output_options`."""
    return _add_options((*_INPUT_OPTIONS, *_CONFIG_OPTIONS, *_IMAGE_OPTIONS, *_OUTPUT_OPTIONS), command)


def image_reader_options(command: _Command) -> _Command:
    """Add the options that choose among the images in a file, and that limit their unpacked size."""
    return _add_options((PLATFORM_OPTION, MAX_UNPACKED_OPTION), command)


def pop_image_reader_arguments(flags: dict[str, Any]) -> dict[str, Any]:
    """Remove the values of `image_reader_options` from ``flags`` and return them as arguments of `lamina.inspect`."""
    return {name: flags.pop(name) for name in ("platform", "max_unpacked_size")}


def cache_options(command: _Command) -> _Command:
    """Add the options for trusted keys, channels and ``--offline`` to ``command``."""
    return _add_options(CACHE_OPTIONS, command)


def collect_cache_arguments(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of `cache_options` as arguments of `lamina.fetch_paths`."""
    return {
        "trusted_keys": flags["trusted_keys"],
        "verify_signatures": not flags["no_verify_signatures"],
        "channel": flags["channel"],
        "channel_lists": get_default_channel_lists(),
        "offline": flags["offline"],
    }


def _add_options(options: tuple[Callable[[_Command], _Command], ...], command: _Command) -> _Command:
    for option in reversed(options):
        command = option(command)
    return command


_COPIED = (
    "name",
    "tag",
    "architecture",
    "created",
    "mtime",
    "uid",
    "gid",
    "uname",
    "gname",
    "from_image",
    "max_unpacked_size",
    "max_layers",
    "layering",
    "extra_commands",
    "fake_root_commands",
    "time_limit",
    "compressor",
    "layer_compression",
    "jobs",
    "channel",
)
_LISTS = ("contents", "closure", "store", "trusted_keys")
_BOOLEANS = ("enable_fakechroot", "include_nix_db", "verify", "offline")
_COMMA_LISTS = ("inherit", "extras")
# Flag → the name of the entry's class in ``lamina``.
_ENTRY_FLAGS = (("dirs", "Dir"), ("files", "File"), ("symlinks", "Symlink"), ("perms", "Perm"), ("xattrs", "Xattr"))


def collect_image_arguments(flags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `lamina.stream_layered_image` for the values of `image_options`.

    The environment gives ``SOURCE_DATE_EPOCH``, the default of ``created``, and ``PATH``, where scripts find their
    programs.

    Raises:
        InvalidArgument: A value is not valid, or the spec file has no table of the given name.
        NotFound: The spec file does not exist.
        FormatError: A file cannot be parsed.
    """
    from pathlib import Path

    from lamina.cli.container_config import build_container_config
    from lamina.inputs import specfile
    from lamina.inputs.spec import Spec
    from lamina.layer_cache.files import remove_old_file

    arguments: dict[str, Any] = specfile.load(flags["spec"]) if flags["spec"] else {}
    arguments |= {name: flags[name] for name in _COPIED if flags.get(name) is not None}
    arguments |= {name: list(flags[name]) for name in _LISTS if flags[name]}
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch and "created" not in arguments:
        arguments["created"] = _parse_epoch(epoch)
    layer_cache = get_layer_cache_option(flags)
    if flags["no_layer_cache"] or flags["no_ledger"]:
        arguments["layer_cache"] = None
    elif layer_cache is not None:
        arguments["layer_cache"] = layer_cache
    elif "layer_cache" not in arguments:
        arguments["layer_cache"] = get_default_layer_cache()
        remove_old_file(Path(arguments["layer_cache"]).parent)
    if flags["no_verify_signatures"]:
        arguments["verify_signatures"] = False
    arguments.setdefault("embedded_store", get_default_embedded_store())
    arguments.setdefault("channel_lists", get_default_channel_lists())
    if flags["no_store_paths"]:
        arguments["include_store_paths"] = False
    if flags["no_sandbox"]:
        arguments["sandbox"] = False
    arguments |= {name: True for name in _BOOLEANS if flags[name]}
    arguments |= {
        name: [word for text in flags[name] for word in text.split(",")] for name in _COMMA_LISTS if flags[name]
    }
    config = build_container_config(arguments.pop("config", {}), flags)
    entries = [getattr(lamina, kind).parse(text) for name, kind in _ENTRY_FLAGS for text in flags[name]]
    if entries:
        declared = Spec.parse({"tree": arguments.get("tree", ())}).tree
        arguments["tree"] = [*declared, *entries]
    return {**arguments, "config": config, "search_path": os.environ.get("PATH", os.defpath)}


def get_layer_cache_option(flags: Mapping[str, Any]) -> str | None:
    """Return the value of ``--layer-cache`` or of its old name ``--ledger``; None if neither is given.

    Raises `InvalidArgument` for both, and for a value that looks like a secret, which would otherwise become the name
    of a new file.
    """
    if flags["layer_cache"] is not None and flags["ledger"] is not None:
        raise InvalidArgument(
            "--ledger", got="it and --layer-cache", expected="one: it is the old name of the same option"
        )
    path: str | None = flags["layer_cache"] if flags["layer_cache"] is not None else flags["ledger"]
    if path is not None and not os.path.lexists(path) and holds_secret(path):
        raise InvalidArgument("layer_cache", got=short_repr(path), expected="the name of a file")
    return path


def get_default_layer_cache() -> str:
    """Return the file of the default layer cache, in the user's cache folder."""
    from platformdirs import user_cache_path

    from lamina.layer_cache.files import FILE_NAME

    return str(user_cache_path("lamina", appauthor=False) / FILE_NAME)


def get_default_embedded_store() -> str:
    """Return the folder of the embedded store, in the user's data folder."""
    from platformdirs import user_data_path

    return str(user_data_path("lamina", appauthor=False) / "store")


def get_default_channel_lists() -> str:
    """Return the folder of the downloaded channel lists, in the user's cache folder."""
    from platformdirs import user_cache_path

    return str(user_cache_path("lamina", appauthor=False) / "channels")


def find_image_option(flags: Mapping[str, Any]) -> str:
    """Return the first option in ``flags`` that describes an image, as the user writes it; empty if there is none.

    ``a ROOT`` stands for the positional arguments.
    """
    unrelated = {"store", "jobs", "layer_cache", "no_layer_cache", "ledger", "no_ledger", "verify"}
    unrelated |= {"progress", "quiet", "as_json", "debug"}
    context = click.get_current_context()
    for parameter in context.command.params:
        if (
            parameter.name in flags
            and parameter.name not in unrelated
            and flags[parameter.name] not in (None, False, ())
        ):
            return "a ROOT" if isinstance(parameter, click.Argument) else parameter.opts[0]
    return ""


def _parse_epoch(text: str) -> str:
    try:
        return datetime.fromtimestamp(int(text), UTC).isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise InvalidArgument("SOURCE_DATE_EPOCH", got=short_repr(text), expected="seconds since 1970") from error
