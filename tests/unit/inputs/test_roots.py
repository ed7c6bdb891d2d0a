"""Resolution of a ROOT: the candidates that a message lists."""

from collections.abc import Collection
from pathlib import Path

import pytest

from lamina.core.name_match import match_paths
from lamina.core.names import NIX32, StorePath
from lamina.core.pathinfo import PathInfo
from lamina.errors import InvalidArgument, NotFound
from lamina.inputs import roots
from lamina.stores.store import Store


class Many(Store):
    """A store with as many paths of one name as there are digits."""

    version = "1"

    def find(self, name: str) -> tuple[StorePath, ...]:
        return match_paths((StorePath(f"{digit * 32}-a-{self.version}") for digit in NIX32), name)

    def query(self, paths: object) -> dict[StorePath, PathInfo]:
        return {}

    def nodes(self, path: object) -> tuple[()]:
        return ()


def test_of_many_candidates_twenty_are_listed() -> None:
    with pytest.raises(NotFound) as caught:
        roots.resolve_root(Many(), "a")
    message = str(caught.value)
    assert message.startswith("'a': got 32 paths of that name, expected one: /nix/store/000")
    assert message.endswith("-a-1, and 12 more")
    assert message.count("/nix/store/") == 20


def test_candidates_of_long_names_are_listed_whole_and_the_others_counted() -> None:
    many = Many()
    many.version = "1" * 140
    with pytest.raises(NotFound) as caught:
        roots.resolve_root(many, "a")
    listed, _, more = str(caught.value).partition("expected one: ")[2].rpartition(", and ")
    texts = listed.split(", ")
    assert {len(text) for text in texts} == {len(str(many.find("a")[0]))}
    assert more == f"{32 - len(texts)} more"


class Versions(Many):
    """A store with one path of version 1, and with two of version 2."""

    def find(self, name: str) -> tuple[StorePath, ...]:
        digits = {"0": "1", "1": "2", "2": "2"}
        return match_paths((StorePath(f"{digit * 32}-a-{version}") for digit, version in digits.items()), name)


def test_the_hint_for_several_candidates_has_a_name_that_only_one_of_them_has() -> None:
    for store, name, more in ((Versions(), "a", ", or by its full name, such as a-1"), (Versions(), "a-2", "")):
        with pytest.raises(NotFound) as caught:
            roots.resolve_root(store, name)
        assert caught.value.hint == f"name one of them by its path{more}"
    assert str(roots.resolve_root(Versions(), "a-1").path) == f"/nix/store/{'0' * 32}-a-1"


class Unversioned(Many):
    """A store with a path whose name has no version, and with one of version 1."""

    def find(self, name: str) -> tuple[StorePath, ...]:
        return match_paths((StorePath(f"{'0' * 32}-a"), StorePath(f"{'1' * 32}-a-1")), name)


def test_the_hint_for_several_candidates_never_repeats_the_ambiguous_name() -> None:
    with pytest.raises(NotFound) as caught:
        roots.resolve_root(Unversioned(), "a")
    assert caught.value.hint == "name one of them by its path, or by its full name, such as a-1"
    assert str(roots.resolve_root(Unversioned(), "a-1").path) == f"/nix/store/{'1' * 32}-a-1"


class Named(Many):
    """A store whose index has some names."""

    def names(self) -> frozenset[str]:
        return frozenset({"hello-2.12.1", "hello-2.11", "gawk-5.3", "gnused-4.9-dev"})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("helo", "did you mean hello?"),
        ("hello-2.12", "did you mean hello-2.12.1 or hello-2.11?"),
        ("gnuse", "did you mean gnused?"),
        ("nosuch", "lamina store ls lists what is there"),
        ("", "lamina store ls lists what is there"),
        ("00000000000000000000000000000000-hello", "did you mean /nix/store/00000000000000000000000000000000-hello?"),
    ],
)
def test_the_hint_for_an_unknown_name_has_what_was_probably_meant(name: str, hint: str) -> None:
    with pytest.raises(NotFound) as caught:
        roots.resolve_root(Named(), name)
    assert caught.value.hint == hint


@pytest.mark.parametrize("text", ["x.drv^out", "/nix/store/00000000000000000000000000000000-x.drv^*"])
def test_an_output_of_a_derivation_is_no_root(text: str) -> None:
    with pytest.raises(InvalidArgument, match="got an output of a derivation") as caught:
        roots.resolve_root(Named(), text)
    assert "nix build --no-link --print-out-paths " in caught.value.hint


@pytest.mark.parametrize("name", [".", ".."])
def test_the_folder_that_one_is_in_is_a_path(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match="got a path outside /nix/store") as caught:
        roots.resolve_root(Named(), name)
    assert caught.value.hint == "lamina store add makes a store path of a file or folder"


def test_a_file_or_folder_of_that_name_needs_a_slash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    Path("yours").touch()
    assert roots.explain_name(Named(), "mine") == "./mine is a folder here; a path needs a slash"
    assert roots.explain_name(Named(), "yours") == "./yours is a file here; a path needs a slash"


def test_of_several_paths_the_chosen_one_is_meant_and_a_choice_of_none_or_several_is_an_error() -> None:
    many = Many()
    found = many.find("a")
    assert roots.resolve_root(many, "a", choose=lambda paths: paths[3:4]).path == found[3]
    with pytest.raises(NotFound, match="got 2 paths of that name"):
        roots.resolve_root(many, "a", choose=lambda paths: paths[:2])
    with pytest.raises(NotFound, match="got 32 paths of that name"):
        roots.resolve_root(many, "a", choose=lambda paths: ())


class ByHash(Many):
    """A store that finds paths by their hashes."""

    def with_hashes(self, hashes: Collection[str]) -> tuple[StorePath, ...]:
        return tuple(StorePath(f"{digest}-x-1") for digest in hashes if digest == "0" * 32)


def test_the_hash_of_a_store_path_names_it() -> None:
    assert str(roots.resolve_root(ByHash(), "0" * 32)) == f"/nix/store/{'0' * 32}-x-1"
    with pytest.raises(NotFound):
        roots.resolve_root(ByHash(), "1" * 32)
