"""The declaration of an argument: its parser, default, flags and key in a spec file, in one place."""

from typing import Annotated, TypedDict

from lamina.inputs.declarations import Argument, Flag, entries, list_arguments, list_flags, repeatable, switch, words
from lamina.inputs.parsers import parse_integer, parse_text


class Base(TypedDict, total=False):
    number: Annotated[
        int, Argument(parse_integer, 5, "The number.", old_names=("count",)), Flag("A number.", value_type=int)
    ]


class Example(Base, total=False):
    text: Annotated[str, Argument(parse_text, "x", "The text.", key="theText")]


def test_what_is_declared_can_be_read_in_the_order_of_the_keys() -> None:
    declared = list_arguments(Example)
    assert list(declared) == ["number", "text"]
    assert (declared["number"].parse, declared["number"].default) == (parse_integer, 5)
    assert [flag.name for flag in declared["number"].flags] == ["--number"]
    assert (declared["number"].old_names, declared["text"].key, declared["text"].flags) == (("count",), "theText", ())


def test_a_flag_converts_its_value_to_that_of_the_argument() -> None:
    assert Flag("").convert("x") == "x"
    assert switch(False, "").convert(True) is False
    assert repeatable("", "").convert(("a", "b")) == ["a", "b"]
    assert words("", "").convert(("a,b", "c")) == ["a", "b", "c"]
    assert entries("dir", "", "").convert(("/a", "/b")) == [{"dir": "/a"}, {"dir": "/b"}]


def test_a_flag_names_its_value_in_python() -> None:
    assert Flag("", name="--no-layer-cache").parameter == "no_layer_cache"
    assert Flag("", name="[ROOT]...").parameter == "roots"


def test_a_flag_without_a_name_has_that_of_what_it_gives() -> None:
    annotation = Annotated[str, Flag("A"), Flag("B", name="--other")]
    assert [flag.name for flag in list_flags("max_layers", annotation)] == ["--max-layers", "--other"]
