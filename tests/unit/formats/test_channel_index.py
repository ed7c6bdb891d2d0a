"""Lists of store paths: lines, JSON, and invalid lists."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_nix_store import store_path

from lamina.core.names import NIX32, StorePath
from lamina.errors import FormatError
from lamina.formats import channel_index

NAMES = ["glibc-2.40", "glibc-2.40-dev", "glibc-locales-2.40", "hello-2.12.1", "hello-2.12.1.drv", "nix-hello-1"]
PATHS = [store_path(name) for name in NAMES]
LIST = "".join(f"{path}\n" for path in PATHS).encode()


def document(**paths: Any) -> bytes:
    return json.dumps(
        {name: str(value) if isinstance(value, StorePath) else value for name, value in paths.items()}
    ).encode()


def refused(data: bytes) -> str:
    with pytest.raises(FormatError) as caught:
        channel_index.parse(data)
    message = str(caught.value)
    assert message.isprintable()
    return message


# --- lines


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("hello", ["hello-2.12.1"]),
        ("hello-2.12.1", ["hello-2.12.1"]),
        ("glibc", ["glibc-2.40"]),
        ("glibc^dev", ["glibc-2.40-dev"]),
        ("glibc-2.40^out", ["glibc-2.40"]),
        *((name, []) for name in ("hell", "", "^", "^dev", "-", "2.40", "é", "\ud800", "hello-2.12.1.drv", "/", "a\0")),
    ],
)
def test_a_name_is_found_in_a_list(name: str, expected: list[str]) -> None:
    assert [path.name for path in channel_index.parse(LIST).find(name)] == expected


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n  \n\t\n", b" "])
def test_a_list_may_be_empty(data: bytes) -> None:
    found = channel_index.parse(data)
    assert found.find("hello") == ()


@pytest.mark.parametrize("data", [LIST[:-1], b"\n\n" + LIST, LIST.replace(b"\n", b"\n\n"), LIST + b"  ", LIST + LIST])
def test_blank_lines_and_the_last_line_break_are_ignored(data: bytes) -> None:
    assert channel_index.parse(data).find("hello") == (store_path("hello-2.12.1"),)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"hello",
            b"/nix/store",
            b"/nix/store/",
            b"<!doctype html>",
            b"[",
            b"\xff\xfe",
            b"\x1b[2J",
            b"\0",
            b"/" * 5000,
        ),
        *(bytes(str(PATHS[0]), "ascii") + tail for tail in (b"/bin", b" ", b"\rx", b" " + LIST[:60], b"!", b"x" * 220)),
        *(head + bytes(str(PATHS[0]), "ascii") for head in (b" ", b"#", b"/", b"file://", b"/nix/store/")),
        bytes(str(PATHS[0]), "ascii").replace(b"/nix", b"/gnu"),
        b"/nix/store/" + b"e" * 32 + b"-hello",
        b"/nix/store/" + b"0" * 32 + b"-",
        b"/nix/store/" + b"0" * 31 + b"-hello",
    ],
)
def test_an_error_names_the_first_invalid_line(line: bytes) -> None:
    for before, number in ((b"", 1), (LIST + b"\n", len(PATHS) + 2)):
        for after in (b"", b"\n", b"\n" + LIST):
            assert refused(before + line + after).startswith(f"list of store paths, line {number}: got ")


@pytest.mark.integration
def test_parsing_and_searching_200_000_lines_is_faster_than_creating_their_paths() -> None:
    bases = [f"{digit * 27}{number:05}-part-{number}-1.0" for number in range(6250) for digit in NIX32]
    data = "".join(f"/nix/store/{base}\n" for base in bases).encode()
    assert data.count(b"\n") == 200_000

    start = time.process_time()
    found = channel_index.parse(data)
    assert found.find("part-77") == ()
    assert len(found.find("part-77-1.0")) == 32
    ours = time.process_time() - start

    start = time.process_time()
    paths = [StorePath.parse(line) for line in data.decode().splitlines()]
    assert len(paths) == 200_000
    assert ours < time.process_time() - start


# --- JSON


def test_an_alias_in_json_is_found() -> None:
    found = channel_index.parse(document(hello=PATHS[0], **{"my tool": PATHS[3], "glibc^dev": PATHS[2]}))
    assert found.find("hello") == (PATHS[0],)
    assert found.find("my tool") == (PATHS[3],)
    assert found.find("glibc^dev") == (PATHS[2],)


def test_other_names_are_searched_among_the_paths_in_json() -> None:
    found = channel_index.parse(b"\n  " + document(a=PATHS[0], b=PATHS[1], c=PATHS[3]))
    assert found.find("glibc") == (PATHS[0],)
    assert found.find("glibc^dev") == (PATHS[1],)
    assert found.find("hello-2.12.1") == (PATHS[3],)
    assert found.find("d") == ()
    assert channel_index.parse(b"{}").find("a") == ()


@pytest.mark.parametrize(
    "value", [None, 5, [], {}, {"out": str(PATHS[0])}, "", "hello", f"{PATHS[0]}/bin", ["x"], "\x1b[2J", "\ud800", True]
)
def test_an_error_names_the_alias_of_an_invalid_value(value: Any) -> None:
    assert refused(document(hello=PATHS[0], other=value)).startswith("catalogue, 'other': ")


@pytest.mark.parametrize("data", [b"{", b"{]", b"{} x", b'{"a":}', b'{"a": "\xff"}', b'{"a":' * 100_000, b"{\0}"])
def test_broken_json_is_refused(data: bytes) -> None:
    assert refused(data).startswith("catalogue: ")


def test_a_duplicate_alias_is_refused() -> None:
    one = document(hello=PATHS[0])
    assert "twice" in refused(one[:-1] + b", " + one[1:])


def test_a_repr_does_not_contain_the_list(tmp_path: Path) -> None:
    assert repr(channel_index.parse(LIST)) == "ChannelIndex()"
