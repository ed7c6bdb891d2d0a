"""Redaction of messages: no secret is shown, and only a part of a long value."""

from __future__ import annotations

import ast
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.support.examples import scale
from tests.support.paths import PACKAGE

from lamina.errors import Error, InvalidArgument
from lamina.messages.redaction import clean, clean_url, clean_value, cut, short_repr

WORD = "hUnTeR2"
KEY = b64encode(bytes(range(64))).decode()
URLS = [
    (f"https://user:{WORD}@host/x", "https://host/x"),
    (f"https://user:{WORD}/{WORD}@host/x", "https://host/x"),
    (f"https://user:{WORD}@{WORD}@host/x", "https://host/x"),
    (f"https://user:{WORD}?{WORD}@host/x", "https://***"),
    (f"https://user:{WORD}#{WORD}@host/x", "https://***"),
    (f"https://user:{WORD} {WORD}@host/x", "https://host/x"),
    (f"https://user:{WORD}\n@host/x", "https://host/x"),
    (f"https://{WORD}@host", "https://host"),
    (f"http:/user:{WORD}@host", "http:/host"),
    (f"user:{WORD}@host", "***@host"),
    (f"user:{WORD}/{WORD}@host/x", "***@host/x"),
    (f"s3://bucket?access-key-id={WORD}&secret={WORD}", "s3://bucket"),
    (f"https://host/x?token={WORD}#{WORD}", "https://host/x"),
]
HARMLESS = [
    "https://cache.nixos.org/nar/abc.nar.xz",
    "file:///srv/a@b",
    "/srv/a@b/c?d=e",
    "registry.example:5000/app:1@sha256:abc",
    "sha512:" + "0a" * 64,
    f"sha512-{KEY}",
    "/nix/store/gnr1b6ldmxcna6c600q3db6spk015139-a-1.0?x=y",
]


@pytest.mark.parametrize(("url", "expected"), URLS)
def test_a_url_is_shown_without_secrets(url: str, expected: str) -> None:
    assert clean_url(url) == expected
    assert WORD not in clean_value(url)
    assert WORD not in short_repr([url, {"a": url}])


@pytest.mark.parametrize("url", [url for url, _ in URLS])
@pytest.mark.parametrize(
    "message", ["{}: got nothing there, expected a store", "x: got '{}' and {}, expected none", "{}"]
)
def test_an_error_shows_no_secret_of_a_url_anywhere_in_it(url: str, message: str) -> None:
    error = Error(message.replace("{}", url), hint=f"write {url}")
    assert WORD not in str(error)
    assert WORD not in error.hint


@pytest.mark.parametrize("text", HARMLESS)
def test_a_text_without_secrets_is_shown_unchanged(text: str) -> None:
    assert clean_url(text).startswith(text.partition("?")[0])
    assert clean(f"{text}: got '{text}', expected ({text})") == f"{text}: got '{text}', expected ({text})"


@pytest.mark.parametrize("text", [f"key-1:{KEY}", KEY, f"key-1:{KEY[:-4]}", f"'key-1:{KEY}'"])
def test_a_signing_key_is_not_shown(text: str) -> None:
    assert KEY[:20] not in clean(f"key {text}: got nothing, expected one")
    assert KEY[:20] not in short_repr(text)


SENTENCES = [
    "{}",
    "key-1:{}",
    "cache.example.org-1:{} and more",
    "key {}: got nothing, expected one",
    "k: got '{}'",
    "({}),",
]


@pytest.mark.parametrize("size", [32, 64])
def test_no_key_of_any_bytes_is_shown(size: int) -> None:
    """A key may have a slash every few characters, and no digit."""
    draw = Random(size)
    keys = [b64encode(draw.randbytes(size)).decode() for _ in range(scale(2000))]
    keys += [key[:-2].replace("A", "/")[:20] + "/" + key[21:] for key in keys[:500]]
    slashes = b64encode(b"".join(draw.randbytes(11) + b"\xff" for _ in range(size // 12 + 1))[:size]).decode()
    letters = b64encode((b"abcABC" * 11)[:size]).decode()
    for key in (*keys, slashes, letters):
        for sentence in SENTENCES:
            assert key.rstrip("=") not in clean(sentence.replace("{}", key)), key
        assert key.rstrip("=") not in clean(f"key-1:{key.rstrip('=')}"), key
        assert key.rstrip("=") not in short_repr([f"key-1:{key}"]), key


@given(st.lists(st.text("abcdefghijklmnopqrstuvwxyz0123456789.-_", min_size=1, max_size=30), min_size=4, max_size=9))
def test_a_long_path_stays_readable(parts: list[str]) -> None:
    path = cut("/" + "/".join(parts), 190)
    for message in (f"{path}: got nothing there, expected a file", f"x: got {path}/file=value, expected a:{path}"):
        assert clean(message) == message


@pytest.mark.parametrize(
    "path",
    [
        "/Users/somebody/Library/Application/Support/Lamina/store/cache",
        "/srv/Builds/Release/2024/linux/amd64/Output/images/layers/all/of/them/here",
        "docker-archive:/home/Someone/images/with/a/long/path/name/that/goes/on",
        "/opt/Tools/with/a/path/of/more/than/forty/characters/x=PROGRAM",
    ],
)
def test_a_path_with_capitals_stays_readable(path: str) -> None:
    assert clean(f"{path}: got nothing there, expected a file") == f"{path}: got nothing there, expected a file"


@pytest.mark.parametrize(
    "text",
    [
        f"PASSWORD={WORD}",
        f"DB_PASSWD={WORD}",
        f"aws_secret_access_key = {WORD}",
        f"api-key='{WORD}'",
        f"A=b GITHUB_TOKEN={WORD} C=d",
        f'{{"token": "{WORD}"}}',
    ],
)
def test_the_value_of_a_setting_that_is_called_a_secret_is_not_shown(text: str) -> None:
    assert WORD not in clean(f"config.Env: got {text}, expected a list")
    assert WORD not in short_repr(text)
    assert WORD not in short_repr([text])


@pytest.mark.parametrize(
    "message",
    [
        "secret key: got an invalid key, expected NAME:BASE64 of 64 bytes",
        "/srv/token: got nothing there, expected a file",
        "environment: got one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, expected both or none",
    ],
)
def test_a_message_about_secrets_stays_whole(message: str) -> None:
    assert clean(message) == message


@given(st.text(), st.text(), st.sampled_from(["https://", "http:/", "s3://", "ssh+x://", ""]))
@example("?", "sha0-", "")
@example("", "sha256-", "")
def test_the_text_before_an_at_sign_is_never_shown(before: str, after: str, scheme: str) -> None:
    """RFC 3986, 3.2.1: "Applications should not render as clear text any data after the first colon"."""
    value = f"{scheme}user:{before}{WORD}@{after}"
    assert WORD not in clean_url(value)
    assert WORD not in clean_value(value)
    assert WORD not in short_repr(value)


@given(st.text(max_size=20), st.integers(0, 400_000), st.text(max_size=20))
def test_a_message_repeats_only_a_part_of_a_long_value(start: str, length: int, end: str) -> None:
    value = start + "x" * length + end
    for error in (
        Error(value, got="nothing", expected="it", hint=value),
        Error("a", got=value, expected="less", hint=value),
        Error("a", got=short_repr(value), hint=value),
        Error(value, hint=value),
    ):
        text = str(error)
        assert len(text) <= 1000
        assert text.count("x") < 270
    assert len(short_repr(value)) <= 160


@pytest.mark.parametrize("length", [10, 300, 5000, 100_000])
def test_a_subject_of_any_length_does_not_hide_the_rest(length: int) -> None:
    assert str(Error(f"/{'d' * length}", got="a file", expected="a folder")).endswith(
        "d: got a file, expected a folder"
    )
    long = f"https://u:{'p' * length}@h/x"
    assert str(Error(long, got="nothing", expected=long)).count("p") < 20


@given(st.recursive(st.none() | st.booleans() | st.text() | st.binary(), st.lists))
def test_a_short_value_is_shown_as_python_writes_it(value: object) -> None:
    text = repr(value)
    if len(text) <= 60 and "@" not in text and "?" not in text and "#" not in text and "{" not in text:
        assert short_repr(value) == text


@pytest.mark.parametrize(
    "make_value",
    # made by the test: the values of parameters stay in memory until the end of the run
    [lambda: "x" * 50_000_000, lambda: ["y" * 50_000_000] * 9, lambda: b"z" * 50_000_000, lambda: [[]] * 5_000_000],
    ids=["text", "list of texts", "bytes", "list of lists"],
)
def test_a_large_value_is_cut_before_it_is_written_out(make_value: Callable[[], object]) -> None:
    assert len(short_repr(make_value())) <= 160


def test_a_value_without_a_repr_is_named_by_its_type() -> None:
    assert short_repr(10**5000) == "a int too long to print"
    assert short_repr("short") == "'short'"


@given(st.text(), st.integers(4, 50))
def test_cutting_keeps_both_ends(text: str, max_length: int) -> None:
    short = cut(text, max_length)
    assert len(short) <= max_length
    assert short == text or (text.startswith(short.partition("…")[0]) and len(text) > max_length)


def test_messages_that_are_made_of_messages_stay_whole() -> None:
    inner = InvalidArgument("digest", got="'x'", expected="sha256:HEX")
    assert str(Error(f"file.json: {inner}")) == "file.json: digest: got 'x', expected sha256:HEX"


# The package's own messages


def _fixed_texts(tree: ast.AST) -> list[tuple[int, str]]:
    """Return line and text of each string except docstrings, with ``x`` for each value in an f-string."""
    nodes = list(ast.walk(tree))
    inner = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    inner |= {
        id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node) if part is not node
    }
    found = []
    for node in nodes:
        if id(node) in inner:
            continue
        if isinstance(node, ast.JoinedStr):
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in node.values)
            found.append((node.lineno, text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append((node.lineno, node.value))
    return found


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_message_of_lamina_is_taken_for_a_secret(file: Path) -> None:
    """``http://HOST:PORT`` looks like a user and a password that was cut off, so messages say a number for a port."""
    if file.name == "redaction.py":  # its patterns look like secrets themselves
        return
    for line, text in _fixed_texts(ast.parse(file.read_text("utf-8"))):
        if " " in text:
            assert clean(text) == text or len(text) > 200, f"line {line}: {clean(text)}"


def _f_strings(tree: ast.AST) -> list[ast.FormattedValue]:
    return [node for node in ast.walk(tree) if isinstance(node, ast.FormattedValue)]


@pytest.mark.parametrize("file", sorted(PACKAGE.rglob("*.py")), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_message_uses_repr_directly(file: Path) -> None:
    """`short_repr` removes secrets and shortens a value; ``!r`` in an f-string does neither."""
    found = [node.lineno for node in _f_strings(ast.parse(file.read_text("utf-8"))) if node.conversion == ord("r")]
    assert not found, f"use short_repr in lines {found}"


@pytest.mark.parametrize("file", sorted((PACKAGE / "cli").rglob("*.py")), ids=lambda file: file.stem)
def test_only_one_module_prints(file: Path) -> None:
    """`lamina.cli.output` escapes control characters. Other modules print escaped lines, scripts' output and JSON."""
    allowed = {"output.py": 3, "nix_lines.py": 1, "failures.py": 4, "reporting.py": 1}
    calls = [node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    prints = [node.lineno for node in calls if isinstance(node.func, ast.Name) and node.func.id == "print"]
    assert len(prints) == allowed.get(file.name, 0), prints
