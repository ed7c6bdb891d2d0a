"""The declaration of an argument: its parser, default, flags and key in a spec file, in one place."""

from typing import Annotated, TypedDict

from lamina.inputs.declarations import Argument, Flag, entries, list_arguments, repeatable, switch, words
from lamina.inputs.parsers import parse_integer, parse_text


class Base(TypedDict, total=False):
    number: Annotated[
        int, Argument(parse_integer, 5, old_names=("count",)), Flag("--number", "A number.", value_type=int)
    ]


class Example(Base, total=False):
    text: Annotated[str, Argument(parse_text, "x", key="theText")]


def test_what_is_declared_can_be_read_in_the_order_of_the_keys() -> None:
    declared = list_arguments(Example)
    assert list(declared) == ["number", "text"]
    assert (declared["number"].parse, declared["number"].default) == (parse_integer, 5)
    assert [flag.name for flag in declared["number"].flags] == ["--number"]
    assert (declared["number"].old_names, declared["text"].key, declared["text"].flags) == (("count",), "theText", ())


def test_a_flag_converts_its_value_to_that_of_the_argument() -> None:
    assert Flag("--name", "").convert("x") == "x"
    assert switch("--no-sandbox", False, "").convert(True) is False
    assert repeatable("--store", "", "").convert(("a", "b")) == ["a", "b"]
    assert words("--with", "", "").convert(("a,b", "c")) == ["a", "b", "c"]
    assert entries("--dir", "dir", "", "").convert(("/a", "/b")) == [{"dir": "/a"}, {"dir": "/b"}]


def test_a_flag_names_its_value_in_python() -> None:
    assert Flag("--no-layer-cache", "").parameter == "no_layer_cache"
    assert Flag("[ROOT]...", "").parameter == "root"
