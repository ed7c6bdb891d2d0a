"""The table of arguments, beside what it must agree with."""

import inspect
from datetime import datetime
from typing import Any, get_type_hints

import pytest

from lamina import layering
from lamina.compression.compressors import CODECS, COMPRESSORS, LayerCompression
from lamina.formats.annotations import Annotations
from lamina.formats.container_config import KEYS
from lamina.formats.keys import PublicKey
from lamina.formats.media_types import MediaTypes
from lamina.images.writers.archives import FORMATS
from lamina.inputs.argument_groups import contents, layers, sources
from lamina.inputs.arguments import ARGUMENTS, ImageArguments, StoreArguments
from lamina.inputs.spec import Spec, StoreSpec
from lamina.layering.known_updates import GivenRates
from lamina.layering.pinned import PINNED
from lamina.rootfs.entries import DeclaredEntry
from lamina.rootfs.extras import EXTRAS
from lamina.rootfs.users import User
from lamina.stores.store import Store, StoreLike

# What the modules import for type checkers only.
NAMES = {
    **vars(sources),
    **vars(contents),
    **vars(layers),
    "Annotations": Annotations,
    "DeclaredEntry": DeclaredEntry,
    "LayerCompression": LayerCompression,
    "Layering": layering.Layering,
    "LayeringFunction": layering.LayeringFunction,
    "MediaTypes": MediaTypes,
    "Pipeline": layering.Pipeline,
    "PublicKey": PublicKey,
    "Store": Store,
    "StoreLike": StoreLike,
    "User": User,
    "datetime": datetime,
    "GivenRates": GivenRates,
}


@pytest.mark.parametrize(("written", "checked"), [(StoreArguments, StoreSpec), (ImageArguments, Spec)])
def test_a_spec_has_what_the_parsers_of_its_arguments_return(written: Any, checked: Any) -> None:
    parsed = {name: get_type_hints(ARGUMENTS[name].parse, localns=NAMES)["return"] for name in written.__annotations__}
    assert list(get_type_hints(checked, localns=NAMES).items()) == list(parsed.items())


def test_a_parser_takes_what_its_argument_may_be() -> None:
    accepted = get_type_hints(ImageArguments, localns=NAMES)
    taken = {name: get_type_hints(declared.parse, localns=NAMES)["value"] for name, declared in ARGUMENTS.items()}
    assert taken == accepted


def test_every_parser_takes_its_default() -> None:
    for name, declared in ARGUMENTS.items():
        assert declared.parse(name, declared.default) == getattr(Spec.parse({}), name)
        assert list(inspect.signature(declared.parse).parameters)[1:] == ["value"]


def test_the_help_repeats_the_values_that_exist() -> None:
    """The help of a command imports no other room, so its texts repeat the names of strategies, contents and so on."""
    flags = {name: declared.flags[0] for name, declared in ARGUMENTS.items() if declared.flags}
    assert flags["compressor"].value_type == tuple(COMPRESSORS)
    assert flags["format"].value_type == FORMATS
    assert flags["layering"].completion == (*layering.STRATEGIES, PINNED)
    assert all(f"{name} (" in flags["layering"].help for name in layering.STRATEGIES)
    assert layering.STRATEGY_NAMES[-1] in flags["layering"].help
    assert flags["layering"].help.endswith(f"[default: {layering.DEFAULT_STRATEGY}]")
    assert flags["max_layers"].help.endswith(f"[default: {layering.DEFAULT_MAX_LAYERS}]")
    assert flags["extras"].completion == tuple(EXTRAS)
    assert all(f"{name} (" in flags["extras"].help for name in EXTRAS)
    assert set(flags["inherit"].completion) < set(KEYS)
    assert set(flags["layer_compression"].completion) == set(CODECS)
    assert ARGUMENTS["layering"].default == layering.DEFAULT_STRATEGY
    assert ARGUMENTS["max_layers"].default == layering.DEFAULT_MAX_LAYERS


def test_every_flag_has_a_name_of_its_own() -> None:
    flags = [flag for declared in ARGUMENTS.values() for flag in declared.flags]
    assert len({flag.name for flag in flags}) == len(flags)
    assert all(flag.name.startswith("--") or flag.name == "[ROOT]..." for flag in flags)
    assert all(flag.help.endswith((".", "]", "…")) for flag in flags if flag.name != "[ROOT]...")


def test_every_argument_is_described_in_sentences() -> None:
    """The descriptions are the text of docstrings and of the schema of spec files."""
    for name, declared in ARGUMENTS.items():
        assert declared.description[0].isupper(), name
        assert declared.description.endswith("."), name
        assert "--" not in declared.description, f"{name}: an option of the command line"


def test_the_descriptions_repeat_the_values_that_exist() -> None:
    described = {name: declared.description for name, declared in ARGUMENTS.items()}
    assert all(f"``{name}``" in described["extras"] for name in EXTRAS)
    assert all(f"``{name}``" in described["layering"] for name in layering.STRATEGY_NAMES)
    assert all(f"``{name}``" in described["compressor"] for name in COMPRESSORS)
    assert all(f"``{name}``" in described["format"] for name in FORMATS)
