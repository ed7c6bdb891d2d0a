"""The declaration of an argument: its parser, default, flags and key in a spec file, in one place."""

from dataclasses import dataclass

from lamina.inputs.declarations import Flag, argument, entries, list_arguments, repeatable, switch, words
from lamina.inputs.parsers import parse_integer, parse_text


@dataclass(frozen=True, slots=True)
class Example:
    number: int = argument(parse_integer, 5, Flag("--number", "A number.", type=int), old_names=("count",))
    text: str = argument(parse_text, "x", key="theText")


def test_a_declared_argument_is_a_field_whose_default_is_parsed() -> None:
    assert Example() == Example(5, "x")
    assert Example(text="y").text == "y"


def test_what_is_declared_can_be_read_in_the_order_of_the_fields() -> None:
    declared = list_arguments(Example)
    assert list(declared) == ["number", "text"]
    assert declared["number"].flags[0].parameter == "number"
    assert (declared["number"].old_names, declared["text"].key) == (("count",), "theText")


def test_a_flag_converts_its_value_to_that_of_the_argument() -> None:
    assert Flag("--name", "").convert("x") == "x"
    assert switch("--no-sandbox", False, "").convert(True) is False
    assert repeatable("--store", "", "").convert(("a", "b")) == ["a", "b"]
    assert words("--with", "", "").convert(("a,b", "c")) == ["a", "b", "c"]
    assert entries("--dir", "dir", "", "").convert(("/a", "/b")) == [{"dir": "/a"}, {"dir": "/b"}]


def test_a_flag_names_its_value_in_python() -> None:
    assert Flag("--no-layer-cache", "").parameter == "no_layer_cache"
    assert Flag("[ROOT]...", "").parameter == "root"
