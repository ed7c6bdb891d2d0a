"""The options that describe an image, and their translation into arguments of the API."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from lamina.cli.image_options import (
    ContainerOptions,
    ImageOptions,
    find_image_option,
    has_several_platforms,
    image_options,
)
from lamina.errors import InvalidArgument
from lamina.formats.keys import CACHE_NIXOS_ORG
from lamina.inputs.arguments import ARGUMENTS
from lamina.rootfs.entries import Dir, Symlink
from lamina.rootfs.users import User

Collect = Callable[..., ImageOptions]
# A valid value for each flag that does not take ``5``.
VALUES = {
    "--trusted-key": str(CACHE_NIXOS_ORG),
    "--layering": "auto",
    "--architecture": "arm64",
    "--platform": "arm64",
    "--root": "arm64=a",
    "--created": "@5",
    "--mtime": "now",
    "--inherit": "Cmd,User",
    "--with": "nss",
    "--add-user": "a:1",
    "--dir": "/a",
    "--file": "/a=b",
    "--symlink": "/a=b",
    "--perm": "/a:755",
    "--xattr": "/a:user.b=00",
    "--format": "oci",
    "--annotation": "a=b",
    "--layer-compression": "zstd",
}


@pytest.fixture
def collect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Collect:
    """Return a function that parses a command line."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> ImageOptions:
        collected: list[Any] = []
        add_options = image_options("plan", "draft", "write", "archive")
        command = click.command()(add_options(lambda image: collected.append((image, find_image_option()))))
        result = CliRunner().invoke(command, arguments, standalone_mode=False)
        if result.exception:
            raise result.exception
        ((image, run.option),) = collected  # type: ignore[attr-defined]
        assert isinstance(image, ImageOptions)
        return image

    return run


def test_what_is_not_given_is_not_passed_on_but_for_the_user_s_own_folders(collect: Collect, tmp_path: Path) -> None:
    image = collect()
    assert (image.given, image.spec_file) == ({}, None)
    assert image.container == ContainerOptions(None, None, None, (), None, None, (), (), (), None)
    assert image.make_arguments() == {
        "config": {},
        "search_path": "/bin",
        "layer_cache": f"{tmp_path}/cache/lamina/layer-cache.sqlite",
        "local_layer_cache": f"{tmp_path}/cache/lamina/layer-cache.sqlite",
        "embedded_store": f"{tmp_path}/data/lamina/store",
        "channel_lists": f"{tmp_path}/cache/lamina/channels",
        "local_blob_cache": f"{tmp_path}/cache/lamina/blobs",
    }


def test_every_flag_gives_its_argument(collect: Collect) -> None:
    Path("5").write_text("glibc = 0.5", encoding="utf-8")  # the file of rates
    for name, declared in ARGUMENTS.items():
        for flag in declared.flags:
            if name in ("compressor", "media_types"):
                continue
            value = [] if flag.value_type is bool else [VALUES.get(flag.written_name, "5")]
            words = [flag.name, *value] if flag.name.startswith("--") else value
            given = collect(*words).given
            assert list(given) == [name]
            assert find_given(collect) == ("" if name in ("store", "jobs", "layer_cache", "verify") else words[0])


def find_given(collect: Any) -> str:
    """Return what `find_image_option` said, with ``5`` for a ROOT, which has no flag."""
    found: str = collect.option
    return "5" if found == "a ROOT" else found


def test_a_flag_wins_over_the_spec_file_and_entries_are_added(collect: Collect) -> None:
    Path("lamina.toml").write_text(
        '[x]\ntag = "file"\nuid = 5\nconfig.Env = ["A=1"]\ntree = [{dir = "/a"}]\nledger = "cache"\n', encoding="utf-8"
    )
    flags = ("--tag", "flag", "--env", "B=2", "--symlink", "/c=d", "--dir", "/b")
    arguments = collect("--spec", "lamina.toml", *flags).make_arguments()
    assert (arguments["tag"], arguments["uid"]) == ("flag", 5)
    assert arguments["config"] == {"Env": ["A=1", "B=2"]}
    assert arguments["tree"] == (Dir("/a"), Dir("/b"), Symlink("/c", "d"))
    assert arguments["layer_cache"] == "cache"


def test_a_root_is_added_to_the_contents_of_the_spec_file(collect: Collect, tmp_path: Path) -> None:
    Path("one.toml").write_text('contents = ["hello"]\n', encoding="utf-8")
    assert collect("--spec", "one.toml", "words").make_arguments()["contents"] == ("hello", "words")
    assert collect("--spec", "one.toml").make_arguments()["contents"] == ("hello",)


def test_a_user_is_added_to_those_of_the_spec_file(collect: Collect) -> None:
    Path("one.toml").write_text('add_user = ["app:1000"]\n', encoding="utf-8")
    assert collect("--spec", "one.toml", "--add-user", "web:1001").make_arguments()["add_user"] == (
        User("app", 1000),
        User("web", 1001),
    )


def test_options_hold_for_every_image_of_the_spec_file(collect: Collect) -> None:
    Path("two.toml").write_text('[a]\ntag = "1"\nuid = 5\n[b]\ncontents = ["b"]\n', encoding="utf-8")
    images = collect("--spec", "two.toml", "--tag", "2").make_all_arguments()
    assert {name: (image["tag"], image.get("uid")) for name, image in images.items()} == {
        "a": ("2", 5),
        "b": ("2", None),
    }
    assert list(collect("--spec", "two.toml#b", "hello").make_all_arguments()) == ["b"]
    assert list(collect("hello").make_all_arguments()) == [""]


@pytest.mark.parametrize(("words", "option"), [(["hello"], "a ROOT"), (["--name", "x"], "--name")])
def test_an_option_of_one_image_is_refused_for_several(words: list[str], option: str, collect: Collect) -> None:
    Path("two.toml").write_text("[a]\n[b]\n", encoding="utf-8")
    with pytest.raises(InvalidArgument, match=rf"^two.toml: got 2 images and {option}, expected one image$") as caught:
        collect("--spec", "two.toml", *words).make_all_arguments()
    assert caught.value.hint == "say which: two.toml#NAME"


def test_the_environment_gives_the_date_unless_it_is_said(collect: Collect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1")
    assert collect().make_arguments()["created"] == "1970-01-01T00:00:01+00:00"
    assert collect("--created", "now").make_arguments()["created"] == "now"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InvalidArgument, match=r"^SOURCE_DATE_EPOCH: got 'yesterday', expected seconds since 1970$"):
        collect().make_arguments()


def test_no_layer_cache_wins_over_one_that_is_named(collect: Collect) -> None:
    assert collect("--no-layer-cache", "--layer-cache", "x").make_arguments()["layer_cache"] is None
    assert collect("--no-ledger").make_arguments()["layer_cache"] is None


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-t", "a:1"], ("a", "1")),
        (["-t", "a"], ("a", None)),
        (["-t", "host:5000/a/b:1"], ("host:5000/a/b", "1")),
        (["-t", "host:5000/a"], ("host:5000/a", None)),
        (["-t", "a", "--tag", "2"], ("a", "2")),
        (["-t", "a:1", "--name", "a", "--tag", "1"], ("a", "1")),
    ],
)
def test_one_option_gives_the_name_and_the_tag(
    collect: Collect, words: list[str], expected: tuple[str, str | None]
) -> None:
    given = collect(*words).given
    assert (given["name"], given.get("tag")) == expected


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-t", "a:1", "--name", "b"], "-t: got 'a:1' and --name 'b', expected one name"),
        (["--tag", "2", "-t", "a:1"], "-t: got 'a:1' and --tag '2', expected one tag"),
        (["-t", "a b"], "-t: got 'a b', expected NAME or NAME:TAG, such as hello or host:5000/hello:1.0"),
        (["-t", "a:1", "-t", "b:2"], "-t: got 'a:1' and 'b:2', expected one value"),
        (["--name", "a", "--name", "b"], "--name: got 'a' and 'b', expected one value"),
        (["-t", "A:1"], "-t: got 'A:1', expected a name in lower case"),
        (["-t", "a:"], "-t: got 'a:', expected NAME or NAME:TAG, such as hello or host:5000/hello:1.0"),
    ],
)
def test_two_names_or_tags_are_refused(collect: Collect, words: list[str], message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        collect(*words)
    assert str(caught.value) == message


def test_the_same_value_again_and_the_last_of_several_preferences_are_accepted(collect: Collect) -> None:
    given = collect("--tag", "1", "--tag", "1", "--jobs", "1", "--jobs", "2").given
    assert (given["tag"], given["jobs"]) == ("1", 2)


def test_a_platform_replaces_what_the_spec_file_says_of_platforms_and_roots_are_added(collect: Collect) -> None:
    Path("one.toml").write_text(
        'architecture = "arm64"\nroots = {"linux/amd64" = ["a"], "linux/arm64" = ["b"]}\n', encoding="utf-8"
    )
    one = collect("--spec", "one.toml", "--platform", "amd64", "--root", "amd64=c").make_arguments()
    assert [*one["roots"]] == [("linux/amd64", ("a",)), ("linux/amd64", ("c",))]
    assert (one["platforms"], "architecture" in one) == (("linux/amd64",), False)
    Path("two.toml").write_text('platforms = ["amd64", "arm64"]\n', encoding="utf-8")
    assert collect("--spec", "two.toml").make_arguments()["platforms"] == ("linux/amd64", "linux/arm64")
    assert not has_several_platforms(one)
    assert has_several_platforms(collect("--spec", "two.toml").make_arguments())


def test_the_roots_of_platforms_are_for_one_image_of_a_spec_file(collect: Collect) -> None:
    Path("two.toml").write_text('[a]\ntag = "1"\n[b]\ntag = "2"\n', encoding="utf-8")
    with pytest.raises(InvalidArgument, match=r"^two.toml: got 2 images and --root, expected one image$"):
        collect("--spec", "two.toml", "--root", "arm64=a").make_all_arguments()


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ('roots."plan9/amd64" = ["a"]', "roots: got 'plan9/amd64', expected an architecture for Linux"),
        ('platforms = ["amd64"]\nroots.arm64 = ["a"]', "roots: got linux/arm64, which is not among the platforms"),
        ('architecture = "arm64"\nroots.amd64 = ["a"]', "architecture: got arm64 and the platform linux/amd64"),
    ],
)
def test_an_error_about_the_platforms_of_a_spec_file_names_the_table(collect: Collect, line: str, error: str) -> None:
    Path("one.toml").write_text(f"[a]\n{line}\n", encoding="utf-8")
    with pytest.raises(InvalidArgument) as refused:
        collect("--spec", "one.toml").make_arguments()
    assert str(refused.value).startswith(f"one.toml#a: {error}")
