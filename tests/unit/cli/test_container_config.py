"""The container config from a file, and the options that override it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from lamina.cli.container_config import build_container_config
from lamina.cli.image_options import ContainerOptions
from lamina.errors import FormatError, InputError, InvalidArgument

NONE = ContainerOptions(None, None, None, (), None, None, (), (), (), None)


def test_an_option_wins_over_the_file_and_the_file_over_the_spec_file(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"User": "file", "Cmd": ["file"]}), encoding="utf-8")
    default = {"User": "spec", "WorkingDir": "/spec"}
    assert build_container_config(default, NONE) == default
    options = NONE._replace(config=str(file), cmd="a 'b c'", stop_signal="SIGINT")
    assert build_container_config(default, options) == {
        "User": "file",
        "WorkingDir": "/spec",
        "Cmd": ["a", "b c"],
        "StopSignal": "SIGINT",
    }


def test_options_that_repeat_add_to_what_is_there() -> None:
    default = {"Env": ["A=1"], "Labels": {"a": "1", "b": "2"}, "Volumes": None}
    options = NONE._replace(env=("B=2",), label=("b=3", "c="), expose=("80", "53/udp"), volume=("/data",))
    assert build_container_config(default, options) == {
        "Env": ["A=1", "B=2"],
        "Labels": {"a": "1", "b": "3", "c": ""},
        "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
        "Volumes": {"/data": {}},
    }


@pytest.mark.parametrize(("text", "expected"), [('["a", "b c"]', ["a", "b c"]), ("a b", ["a", "b"]), ("", [])])
def test_words_are_a_json_list_or_those_of_a_shell(text: str, expected: list[str]) -> None:
    config = build_container_config({}, NONE._replace(cmd=text, entrypoint=text))
    assert config == {"Cmd": expected, "Entrypoint": expected}


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"cmd": '["a"'}, "--cmd"),
        ({"entrypoint": "'a"}, "--entrypoint"),
        ({"label": ("a",)}, "--label"),
        ({"label": ("=a",)}, "--label"),
        ({"expose": ("0",)}, "--expose"),
        ({"expose": ("80/icmp",)}, "--expose"),
        ({"expose": ("٣",)}, "--expose"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidArgument, match=rf"^{name}: got .*, expected "):
        build_container_config({}, NONE._replace(**options))


def test_a_config_that_is_no_object_or_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match=r"^config: got \[\], expected an object$"):
        build_container_config([], NONE)
    with pytest.raises(InputError, match=r"^--config .*none: got "):
        build_container_config({}, NONE._replace(config=str(tmp_path / "none")))


def test_the_bytes_of_an_option_are_decoded_as_utf8() -> None:
    """Under ``LC_ALL=C`` Python keeps bytes outside ASCII as lone surrogates (PEP 383)."""
    undecoded = "é".encode().decode("ascii", "surrogateescape")
    if os.fsencode("é") == "é".encode():
        assert build_container_config({}, NONE._replace(user=undecoded, env=(f"A={undecoded}",))) == {
            "User": "é",
            "Env": ["A=é"],
        }
    assert build_container_config({}, NONE._replace(user="\udcff")) == {"User": "\udcff"}


@pytest.mark.parametrize(("text", "got"), [("", "nothing"), ("{,", "a syntax error in line 1, column 2")])
def test_a_file_that_is_not_json_says_where(text: str, got: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(FormatError, match=rf"c\.json: got {got}, expected a file in JSON$"):
        build_container_config({}, NONE._replace(config=str(tmp_path / "c.json")))
