"""The container config: wrong types are errors, and unknown keys are warnings."""

import json
from datetime import date
from types import MappingProxyType
from typing import Any

import pytest

from lamina.errors import InvalidArgument
from lamina.formats.container_config import check, parse, sort_keys

EVERYTHING: dict[str, Any] = {
    "Cmd": ["/bin/sh", "-c", "echo"],
    "Entrypoint": [],
    "Env": ["PATH=/bin", "EMPTY=", "A=b=c"],
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
    "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000, "Retries": 3, "Timeout": None},
    "Labels": {"org.opencontainers.image.source": "https://example.org"},
    "OnBuild": ["RUN x"],
    "StopSignal": "SIGTERM",
    "StopTimeout": 10,
    "Tty": True,
    "User": "1000:1000",
    "Volumes": {"/data": {}},
    "WorkingDir": "/",
}


def test_keys_of_the_specifications_cause_no_warning() -> None:
    assert check(EVERYTHING) == ()
    assert check({}) == ()
    assert check(dict.fromkeys(EVERYTHING)) == ()


@pytest.mark.parametrize("key", ["Cmd", "Entrypoint", "Env", "OnBuild", "Shell"])
def test_a_text_in_place_of_a_list_has_a_hint(key: str) -> None:
    """dockerTools accepts a string as Cmd when it builds an image, which podman and containerd then cannot run."""
    expected = f"^config.{key}: got '/bin/hello', expected a list of strings$"
    with pytest.raises(InvalidArgument, match=expected) as caught:
        check({key: "/bin/hello"})
    assert caught.value.hint == f'write {key} as a list: ["/bin/hello"]'


@pytest.mark.parametrize("key", ["ExposedPorts", "Volumes"])
def test_a_list_in_place_of_an_object_has_a_hint(key: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check({key: ["80/tcp", "53/udp"]})
    assert caught.value.hint == f'write {key} as an object: {{"80/tcp": {{}}, "53/udp": {{}}}}'


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("Volumes", ["a", "b", "c", "d"], 'write Volumes as an object: {"a": {}, "b": {}, "c": {}}'),
        ("Volumes", "/data", "write Volumes as an object of names, each with the value {}"),
        ("Cmd", "python -m 'a b'", 'write Cmd as a list: ["python", "-m", "a b"]'),
        ("Cmd", [1], "write Cmd as a list of strings"),
        ("StopTimeout", "10", "write StopTimeout as a whole number"),
    ],
)
def test_a_hint_has_the_value_to_write(key: str, value: Any, hint: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check({key: value})
    assert caught.value.hint == hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Cmd", [1]),
        ("Cmd", {}),
        ("Cmd", [["/bin/sh"]]),
        ("Env", {"A": "b"}),
        ("Env", ["A"]),
        ("Env", [None]),
        ("Labels", ["a=b"]),
        ("Labels", {"a": 1}),
        ("Labels", {1: "a"}),
        ("Volumes", {"/data": {"x": 1}}),
        ("Volumes", {1: {}}),
        ("ExposedPorts", 80),
        ("User", 1000),
        ("WorkingDir", ["/"]),
        ("StopTimeout", "10"),
        ("StopTimeout", 10.0),
        ("StopTimeout", True),
        ("StopTimeout", 1 << 63),  # Go's int has 64 bits
        ("Memory", -(1 << 63) - 1),
        ("Tty", 1),
        ("Tty", "true"),
        ("Healthcheck", ["CMD", "true"]),
        ("Healthcheck", {"Test": "true"}),
        ("Healthcheck", {"Interval": "30s"}),
        ("Volumes", {"": {}}),
        ("Env", ["=x"]),
        ("labels", 5),  # engines take a key in any case
    ],
)
def test_a_value_of_another_type_is_refused(key: str, value: Any) -> None:
    """Every container engine can decode a config that passed `check`."""
    with pytest.raises(InvalidArgument, match=rf"^config\.{key}(\.\w+)?: got .*, expected ") as caught:
        check({key: value})
    assert len(str(caught.value)) < 300


def test_a_number_of_more_digits_than_python_prints_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"^config\.Memory: got "):
        check({"Memory": 10**5000})


@pytest.mark.parametrize("config", [None, [], "Cmd", 5])
def test_a_config_is_an_object(config: Any) -> None:
    with pytest.raises(InvalidArgument, match="expected an object"):
        check(config)


@pytest.mark.parametrize(("key", "meant"), [("cmd", "Cmd"), ("EntryPoint", "Entrypoint"), ("WorkDir", "WorkingDir")])
def test_a_warning_suggests_a_similar_key(key: str, meant: str) -> None:
    (warning,) = check({key: ["anything"]})
    assert warning.endswith(f"; did you mean {meant}?")


def test_an_unknown_key_causes_a_warning() -> None:
    assert check({"X": {"y": [1.5, None, True]}, "User": "me"}) == (
        "config: got key 'X', expected one of the image specification",
    )


def test_keys_ascend_as_nix_writes_them() -> None:
    found = sort_keys({"b": [{"z": 1, "a": 2}], "a": {"d": (1, {"y": 0, "x": 0}), "c": None}})
    assert json.dumps(found) == '{"a": {"c": null, "d": [1, {"x": 0, "y": 0}]}, "b": [{"a": 2, "z": 1}]}'


def test_any_mapping_is_an_object() -> None:
    assert sort_keys({"Labels": MappingProxyType({"b": "1", "a": "2"})}) == {"Labels": {"a": "2", "b": "1"}}


@pytest.mark.parametrize(
    "value",
    [
        {1: "a", "b": 2},
        {None: 1},
        {"Cmd": b"/bin/sh"},
        {"Cmd": {"/bin/sh"}},
        {"X": object()},
        {"X": date(2026, 1, 31)},  # TOML has dates
        {"X": float("nan")},
        {"X": [float("inf")]},
    ],
)
def test_a_value_that_json_cannot_represent_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^config: got .*, expected "):
        sort_keys(value)


def test_an_unknown_key_of_a_healthcheck_causes_a_warning() -> None:
    assert check({"Healthcheck": {"Tests": ["CMD", "true"]}}) == (
        "config.Healthcheck: got key 'Tests', expected one of the image specification; did you mean Test?",
    )


def test_a_duration_of_a_health_check_becomes_nanoseconds() -> None:
    parsed = parse({"Healthcheck": {"Test": ["NONE"], "Interval": "1m30s", "Timeout": 5, "StartPeriod": "500ms"}})
    assert parsed["Healthcheck"] == {
        "Interval": 90_000_000_000,
        "StartPeriod": 500_000_000,
        "Test": ["NONE"],
        "Timeout": 5,
    }


def test_the_field_of_a_health_check_is_named() -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse({"Healthcheck": {"Interval": "30 seconds"}})
    expected = "a number of nanoseconds, or a duration such as 30s or 1m30s"
    assert str(caught.value) == f"config.Healthcheck.Interval: got '30 seconds', expected {expected}"


def test_a_duration_in_a_config_that_stays_as_it_is_has_its_nanoseconds_in_the_hint() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check({"Healthcheck": {"Interval": "30s"}})
    assert caught.value.hint == "write Interval in nanoseconds: 30000000000"


@pytest.mark.parametrize("key", ["ExposedPorts", "Volumes"])
def test_null_is_a_value_of_a_set(key: str) -> None:
    """Go decodes null as the empty object."""
    assert parse({key: {"x": None, "y": {}}}) == {key: {"x": None, "y": {}}}


def test_null_is_an_empty_config() -> None:
    assert parse(None) == {}


def test_a_value_that_engines_refuse_causes_a_warning_under_any_spelling_of_its_key() -> None:
    assert "config.WorkingDir: got 'srv', expected an absolute path" in check({"workingdir": "srv"})
    assert len(check({"Volumes": {f"v{number}": {} for number in range(50)}})) == 10
